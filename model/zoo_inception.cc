#include "model/zoo_blocks.h"
#include "model/zoo_families.h"

namespace pluto {

namespace {

/// Szegedy et al. 2015, table 1: 1x1; 3x3 reduce, 3x3; 5x5 reduce, 5x5; pool projection.
struct InceptionWidths {
  std::int64_t one, three_reduce, three, five_reduce, five, pool;
};

TensorId inception_v1(Net& net, const std::string& name, TensorId x, const InceptionWidths& w) {
  const TensorId one = net.conv_relu(name + ".1x1", x, w.one, square(1));
  const TensorId three = net.conv_relu(
      name + ".3x3", net.conv_relu(name + ".3x3_reduce", x, w.three_reduce, square(1)), w.three,
      square(3, 1, 1));
  const TensorId five =
      net.conv_relu(name + ".5x5", net.conv_relu(name + ".5x5_reduce", x, w.five_reduce, square(1)),
                    w.five, square(5, 1, 2));
  const TensorId pool = net.conv_relu(
      name + ".pool_proj", net.max_pool(name + ".pool", x, square(3, 1, 1)), w.pool, square(1));
  return net.concat(name, {one, three, five, pool}, 0);
}

constexpr double kEpsilon = 1e-3;  // of every batch norm of Inception-v3

TensorId unit(Net& net, const std::string& name, TensorId x, std::int64_t channels,
              const Window& window) {
  return net.conv_bn_relu(name, x, channels, window, kEpsilon);
}
/// A 1 x n or n x 1 convolution that keeps the size.
Window row(std::int64_t n) { return {1, n, 1, 0, n / 2}; }
Window column(std::int64_t n) { return {n, 1, 1, n / 2, 0}; }

TensorId pooled(Net& net, const std::string& name, TensorId x, std::int64_t channels) {
  return unit(net, name + ".pool_proj", net.avg_pool(name + ".pool", x, square(3, 1, 1)), channels,
              square(1));
}

/// Szegedy et al. 2016, figure 5.
TensorId inception_a(Net& net, const std::string& name, TensorId x, std::int64_t pool) {
  const TensorId one = unit(net, name + ".1x1", x, 64, square(1));
  const TensorId five = unit(net, name + ".5x5", unit(net, name + ".5x5_reduce", x, 48, square(1)),
                             64, square(5, 1, 2));
  TensorId three = unit(net, name + ".3x3_reduce", x, 64, square(1));
  three = unit(net, name + ".3x3_1", three, 96, square(3, 1, 1));
  three = unit(net, name + ".3x3_2", three, 96, square(3, 1, 1));
  return net.concat(name, {one, five, three, pooled(net, name, x, pool)}, 0);
}

/// Grid reduction 35 -> 17 (figure 10).
TensorId reduction_b(Net& net, const std::string& name, TensorId x) {
  const TensorId three = unit(net, name + ".3x3", x, 384, square(3, 2));
  TensorId twice = unit(net, name + ".double_reduce", x, 64, square(1));
  twice = unit(net, name + ".double_1", twice, 96, square(3, 1, 1));
  twice = unit(net, name + ".double_2", twice, 96, square(3, 2));
  return net.concat(name, {three, twice, net.max_pool(name + ".pool", x, square(3, 2))}, 0);
}

/// Figure 6 with n = 7.
TensorId inception_c(Net& net, const std::string& name, TensorId x, std::int64_t width) {
  const TensorId one = unit(net, name + ".1x1", x, 192, square(1));
  TensorId seven = unit(net, name + ".7x7_reduce", x, width, square(1));
  seven = unit(net, name + ".7x7_row", seven, width, row(7));
  seven = unit(net, name + ".7x7_column", seven, 192, column(7));
  TensorId twice = unit(net, name + ".double_reduce", x, width, square(1));
  twice = unit(net, name + ".double_1", twice, width, column(7));
  twice = unit(net, name + ".double_2", twice, width, row(7));
  twice = unit(net, name + ".double_3", twice, width, column(7));
  twice = unit(net, name + ".double_4", twice, 192, row(7));
  return net.concat(name, {one, seven, twice, pooled(net, name, x, 192)}, 0);
}

/// Grid reduction 17 -> 8.
TensorId reduction_d(Net& net, const std::string& name, TensorId x) {
  const TensorId three = unit(
      net, name + ".3x3", unit(net, name + ".3x3_reduce", x, 192, square(1)), 320, square(3, 2));
  TensorId seven = unit(net, name + ".7x7_reduce", x, 192, square(1));
  seven = unit(net, name + ".7x7_row", seven, 192, row(7));
  seven = unit(net, name + ".7x7_column", seven, 192, column(7));
  seven = unit(net, name + ".7x7_3x3", seven, 192, square(3, 2));
  return net.concat(name, {three, seven, net.max_pool(name + ".pool", x, square(3, 2))}, 0);
}

/// Figure 7: the expanded filter bank of the last grid.
TensorId inception_e(Net& net, const std::string& name, TensorId x) {
  const TensorId one = unit(net, name + ".1x1", x, 320, square(1));
  const TensorId three = unit(net, name + ".3x3_reduce", x, 384, square(1));
  const TensorId three_row = unit(net, name + ".3x3_row", three, 384, row(3));
  const TensorId three_column = unit(net, name + ".3x3_column", three, 384, column(3));
  const TensorId twice =
      unit(net, name + ".double_3x3", unit(net, name + ".double_reduce", x, 448, square(1)), 384,
           square(3, 1, 1));
  const TensorId twice_row = unit(net, name + ".double_row", twice, 384, row(3));
  const TensorId twice_column = unit(net, name + ".double_column", twice, 384, column(3));
  return net.concat(
      name, {one, three_row, three_column, twice_row, twice_column, pooled(net, name, x, 192)}, 0);
}

}  // namespace

Result<ModelGraph> build_googlenet(const ZooOptions& options) {
  const LrnAttrs lrn{5, 1e-4, 0.75, 1};
  Net net("googlenet");
  TensorId x = net.image(options, 3, 224, 224);
  x = net.max_pool("pool1", net.conv_relu("conv1", x, 64, square(7, 2, 3)), square(3, 2), true);
  x = net.lrn("norm1", x, lrn);
  x = net.conv_relu("conv2", net.conv_relu("conv2_reduce", x, 64, square(1)), 192, square(3, 1, 1));
  x = net.max_pool("pool2", net.lrn("norm2", x, lrn), square(3, 2), true);
  x = inception_v1(net, "inception_3a", x, {64, 96, 128, 16, 32, 32});
  x = inception_v1(net, "inception_3b", x, {128, 128, 192, 32, 96, 64});
  x = net.max_pool("pool3", x, square(3, 2), true);
  x = inception_v1(net, "inception_4a", x, {192, 96, 208, 16, 48, 64});
  x = inception_v1(net, "inception_4b", x, {160, 112, 224, 24, 64, 64});
  x = inception_v1(net, "inception_4c", x, {128, 128, 256, 24, 64, 64});
  x = inception_v1(net, "inception_4d", x, {112, 144, 288, 32, 64, 64});
  x = inception_v1(net, "inception_4e", x, {256, 160, 320, 32, 128, 128});
  x = net.max_pool("pool4", x, square(3, 2), true);
  x = inception_v1(net, "inception_5a", x, {256, 160, 320, 32, 128, 128});
  x = inception_v1(net, "inception_5b", x, {384, 192, 384, 48, 128, 128});
  x = net.dropout("drop", net.global_avg_pool("pool5", x), 0.4);
  x = net.linear("fc", x, options.classes.value_or(1000), 0.01);
  return std::move(net).finish_classifier(x);
}

Result<ModelGraph> build_inception_v3(const ZooOptions& options) {
  Net net("inception-v3");
  TensorId x = net.image(options, 3, 299, 299);
  x = unit(net, "conv1a", x, 32, square(3, 2));
  x = unit(net, "conv2a", x, 32, square(3));
  x = unit(net, "conv2b", x, 64, square(3, 1, 1));
  x = net.max_pool("pool2", x, square(3, 2));
  x = unit(net, "conv3b", x, 80, square(1));
  x = unit(net, "conv4a", x, 192, square(3));
  x = net.max_pool("pool4", x, square(3, 2));
  x = inception_a(net, "mixed5b", x, 32);
  x = inception_a(net, "mixed5c", x, 64);
  x = inception_a(net, "mixed5d", x, 64);
  x = reduction_b(net, "mixed6a", x);
  x = inception_c(net, "mixed6b", x, 128);
  x = inception_c(net, "mixed6c", x, 160);
  x = inception_c(net, "mixed6d", x, 160);
  x = inception_c(net, "mixed6e", x, 192);
  x = reduction_d(net, "mixed7a", x);
  x = inception_e(net, "mixed7b", x);
  x = inception_e(net, "mixed7c", x);
  x = net.dropout("drop", net.global_avg_pool("pool7", x), 0.5);
  x = net.linear("fc", x, options.classes.value_or(1000), 0.01);
  return std::move(net).finish_classifier(x);
}

}  // namespace pluto
