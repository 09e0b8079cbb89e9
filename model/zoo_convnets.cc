#include <fmt/format.h>

#include "model/zoo_blocks.h"
#include "model/zoo_families.h"

namespace pluto {

namespace {

constexpr std::int64_t kImageNetClasses = 1000;
constexpr double kDropout = 0.5;

/// Two hidden layers with dropout before them, then the classes: AlexNet's and VGG's ending.
Result<ModelGraph> dropout_classifier(Net net, TensorId x, std::int64_t hidden,
                                      std::int64_t classes) {
  x = net.flatten("flatten", x);
  x = net.dropout("drop6", x, kDropout);
  x = net.relu("relu6", net.linear("fc6", x, hidden));
  x = net.dropout("drop7", x, kDropout);
  x = net.relu("relu7", net.linear("fc7", x, hidden));
  x = net.linear("fc8", x, classes, 0.01);
  return std::move(net).finish_classifier(x);
}

/// Two 3x3 convolutions and the shortcut (He et al. 2016, figure 5 left).
TensorId basic_block(Net& net, const std::string& name, TensorId x, std::int64_t width,
                     std::int64_t stride, bool project) {
  TensorId y = net.conv_bn_relu(name + ".conv1", x, width, square(3, stride, 1));
  y = net.batch_norm(name + ".conv2.bn",
                     net.conv(name + ".conv2", y, width, square(3, 1, 1), false));
  const TensorId shortcut =
      project ? net.batch_norm(name + ".down.bn",
                               net.conv(name + ".down", x, width, square(1, stride), false))
              : x;
  return net.relu(name + ".relu", net.add(name + ".add", y, shortcut));
}

/// 1x1, 3x3, 1x1 (figure 5 right), with the stride on the 3x3 as torchvision and MLPerf have it.
TensorId bottleneck(Net& net, const std::string& name, TensorId x, std::int64_t width,
                    std::int64_t stride, bool project) {
  constexpr std::int64_t kExpansion = 4;
  TensorId y = net.conv_bn_relu(name + ".conv1", x, width, square(1));
  y = net.conv_bn_relu(name + ".conv2", y, width, square(3, stride, 1));
  y = net.batch_norm(name + ".conv3.bn",
                     net.conv(name + ".conv3", y, width * kExpansion, square(1), false));
  const TensorId shortcut =
      project ? net.batch_norm(name + ".down.bn", net.conv(name + ".down", x, width * kExpansion,
                                                           square(1, stride), false))
              : x;
  return net.relu(name + ".relu", net.add(name + ".add", y, shortcut));
}

/// Four stages of blocks, the mean over positions, the classes.
Result<ModelGraph> residual_stages(Net net, TensorId x, const std::vector<int>& depths, bool basic,
                                   std::int64_t classes) {
  for (std::size_t stage = 0; stage < depths.size(); ++stage) {
    const std::int64_t width = std::int64_t{64} << stage;
    for (int block = 0; block < depths[stage]; ++block) {
      const std::int64_t stride = stage > 0 && block == 0 ? 2 : 1;
      const bool project = block == 0 && (!basic || stage > 0);
      const std::string name = fmt::format("layer{}.{}", stage + 1, block);
      x = basic ? basic_block(net, name, x, width, stride, project)
                : bottleneck(net, name, x, width, stride, project);
    }
  }
  x = net.linear("fc", net.global_avg_pool("pool5", x), classes, 0.01);
  return std::move(net).finish_classifier(x);
}

}  // namespace

Result<ModelGraph> build_mlp(const ZooOptions& options) {
  Net net("mlp");
  TensorId x = net.flatten("flatten", net.image(options, 1, 28, 28));
  const std::int64_t width = options.width_model.value_or(512);
  const std::int64_t layers = options.layers.value_or(2);
  for (std::int64_t i = 1; i <= layers; ++i) {
    x = net.relu(fmt::format("relu{}", i), net.linear(fmt::format("fc{}", i), x, width));
  }
  x = net.linear(fmt::format("fc{}", layers + 1), x, options.classes.value_or(10));
  return std::move(net).finish_classifier(x);
}

Result<ModelGraph> build_lenet(const ZooOptions& options) {
  Net net("lenet");
  TensorId x = net.image(options, 1, 28, 28);
  x = net.max_pool("pool1", net.conv_relu("conv1", x, 20, square(5)), square(2, 2));
  x = net.max_pool("pool2", net.conv_relu("conv2", x, 50, square(5)), square(2, 2));
  x = net.relu("relu3", net.linear("fc3", net.flatten("flatten", x), 500));
  x = net.linear("fc4", x, options.classes.value_or(10));
  return std::move(net).finish_classifier(x);
}

Result<ModelGraph> build_alexnet(const ZooOptions& options) {
  const LrnAttrs lrn{5, 1e-4, 0.75, 2};
  Net net("alexnet");
  TensorId x = net.image(options, 3, 227, 227);
  x = net.lrn("norm1", net.conv_relu("conv1", x, 96, square(11, 4)), lrn);
  x = net.max_pool("pool1", x, square(3, 2));
  x = net.lrn("norm2", net.conv_relu("conv2", x, 256, square(5, 1, 2), 2), lrn);
  x = net.max_pool("pool2", x, square(3, 2));
  x = net.conv_relu("conv3", x, 384, square(3, 1, 1));
  x = net.conv_relu("conv4", x, 384, square(3, 1, 1), 2);
  x = net.conv_relu("conv5", x, 256, square(3, 1, 1), 2);
  x = net.max_pool("pool5", x, square(3, 2));
  return dropout_classifier(std::move(net), x, 4096, options.classes.value_or(kImageNetClasses));
}

Result<ModelGraph> build_alexnet_one_tower(const ZooOptions& options) {
  Net net("alexnet-one-tower");
  TensorId x = net.image(options, 3, 224, 224);
  x = net.max_pool("pool1", net.conv_relu("conv1", x, 64, square(11, 4, 2)), square(3, 2));
  x = net.max_pool("pool2", net.conv_relu("conv2", x, 192, square(5, 1, 2)), square(3, 2));
  x = net.conv_relu("conv3", x, 384, square(3, 1, 1));
  x = net.conv_relu("conv4", x, 256, square(3, 1, 1));
  x = net.conv_relu("conv5", x, 256, square(3, 1, 1));
  x = net.max_pool("pool5", x, square(3, 2));
  return dropout_classifier(std::move(net), x, 4096, options.classes.value_or(kImageNetClasses));
}

Result<ModelGraph> build_vgg(const ZooOptions& options, int layers) {
  // Simonyan and Zisserman 2015, table 1, columns D and E: convolutions per stage.
  const std::vector<std::int64_t> depths = layers == 19 ? std::vector<std::int64_t>{2, 2, 4, 4, 4}
                                                        : std::vector<std::int64_t>{2, 2, 3, 3, 3};
  const std::vector<std::int64_t> widths = {64, 128, 256, 512, 512};
  Net net(fmt::format("vgg{}", layers));
  TensorId x = net.image(options, 3, 224, 224);
  for (std::size_t stage = 0; stage < depths.size(); ++stage) {
    for (std::int64_t i = 1; i <= depths[stage]; ++i) {
      x = net.conv_relu(fmt::format("conv{}_{}", stage + 1, i), x, widths[stage], square(3, 1, 1));
    }
    x = net.max_pool(fmt::format("pool{}", stage + 1), x, square(2, 2));
  }
  return dropout_classifier(std::move(net), x, 4096, options.classes.value_or(kImageNetClasses));
}

Result<ModelGraph> build_resnet(const ZooOptions& options, int layers) {
  // He et al. 2016, table 1: blocks per stage.
  const std::vector<int> depths = layers == 152   ? std::vector<int>{3, 8, 36, 3}
                                  : layers == 101 ? std::vector<int>{3, 4, 23, 3}
                                  : layers == 50  ? std::vector<int>{3, 4, 6, 3}
                                                  : std::vector<int>{2, 2, 2, 2};
  Net net(fmt::format("resnet{}", layers));
  TensorId x = net.image(options, 3, 224, 224);
  x = net.conv_bn_relu("conv1", x, 64, square(7, 2, 3));
  x = net.max_pool("pool1", x, square(3, 2, 1));
  return residual_stages(std::move(net), x, depths, layers < 50,
                         options.classes.value_or(kImageNetClasses));
}

Result<ModelGraph> build_resnet18_cifar(const ZooOptions& options) {
  Net net("resnet18-cifar");
  const TensorId x = net.conv_bn_relu("conv1", net.image(options, 3, 32, 32), 64, square(3, 1, 1));
  return residual_stages(std::move(net), x, {2, 2, 2, 2}, true, options.classes.value_or(10));
}

}  // namespace pluto
