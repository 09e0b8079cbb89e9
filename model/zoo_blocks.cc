#include "model/zoo_blocks.h"

#include <algorithm>
#include <cmath>

namespace pluto {

namespace {

Init he(std::int64_t fan_in) {
  return {Init::Kind::kNormal,
          std::sqrt(2.0 / static_cast<double>(std::max<std::int64_t>(1, fan_in)))};
}

std::int64_t last_axis(const TensorType& type) {
  return type.shape.dims.empty() ? 1 : type.shape.dims.back();
}
std::int64_t channels_of(const TensorType& type) {
  return type.shape.dims.empty() ? 1 : type.shape.dims.front();
}

PoolAttrs pool_attrs(const Window& w, bool ceil_mode) {
  PoolAttrs attrs;
  attrs.kernel_h = w.kernel_h;
  attrs.kernel_w = w.kernel_w;
  attrs.stride_h = attrs.stride_w = w.stride;
  attrs.pad_top = attrs.pad_bottom = w.pad_h;
  attrs.pad_left = attrs.pad_right = w.pad_w;
  attrs.ceil_mode = ceil_mode;
  return attrs;
}

}  // namespace

Window square(std::int64_t kernel, std::int64_t stride, std::int64_t pad) {
  return {kernel, kernel, stride, pad, pad};
}

TensorId Net::image(const ZooOptions& options, std::int64_t channels, std::int64_t height,
                    std::int64_t width) {
  const Shape shape{{options.channels.value_or(channels), options.height.value_or(height),
                     options.width.value_or(width)}};
  inputs_.push_back(builder_.input("image", shape));
  return inputs_.back();
}

TensorId Net::ids(const std::string& name, std::int64_t count) {
  inputs_.push_back(builder_.input(name, Shape{{count}}, DType::kI32));
  return inputs_.back();
}

TensorId Net::values(const std::string& name, std::int64_t count) {
  inputs_.push_back(builder_.input(name, Shape{{count}}));
  return inputs_.back();
}

TensorId Net::conv(const std::string& name, TensorId x, std::int64_t channels, const Window& window,
                   bool bias, std::int64_t groups) {
  const std::int64_t in = channels_of(builder_.type(x)) / groups;
  ConvAttrs attrs;
  attrs.out_channels = channels;
  attrs.kernel_h = window.kernel_h;
  attrs.kernel_w = window.kernel_w;
  attrs.stride_h = attrs.stride_w = window.stride;
  attrs.pad_top = attrs.pad_bottom = window.pad_h;
  attrs.pad_left = attrs.pad_right = window.pad_w;
  attrs.groups = groups;
  attrs.bias = bias;
  std::vector<TensorId> operands = {
      x,
      builder_.parameter(name + ".weight", Shape{{channels, in, window.kernel_h, window.kernel_w}},
                         he(in * window.kernel_h * window.kernel_w))};
  if (bias) operands.push_back(builder_.parameter(name + ".bias", Shape{{channels}}, {}));
  return builder_.forward(name, OpKind::kConv2d, attrs, std::move(operands));
}

TensorId Net::batch_norm(const std::string& name, TensorId x, double epsilon) {
  const Shape shape{{channels_of(builder_.type(x))}};
  const TensorType statistic{shape, DType::kF32, 0};
  const TensorId gamma = builder_.parameter(name + ".weight", shape, {Init::Kind::kOnes, 0});
  const TensorId beta = builder_.parameter(name + ".bias", shape, {});
  const TensorId mean = builder_.tensor(name + ".running_mean", TensorRole::kBuffer, statistic);
  const TensorId variance = builder_.tensor(name + ".running_var", TensorRole::kBuffer, statistic,
                                            {Init::Kind::kOnes, 0});
  BatchNormAttrs attrs;
  attrs.epsilon = epsilon;
  return builder_
      .op(name, OpKind::kBatchNorm, OpPass::kForward, attrs, {x, gamma, beta}, {mean, variance})
      .front();
}

TensorId Net::conv_bn_relu(const std::string& name, TensorId x, std::int64_t channels,
                           const Window& window, double epsilon) {
  return relu(name + ".relu",
              batch_norm(name + ".bn", conv(name, x, channels, window, false), epsilon));
}

TensorId Net::conv_relu(const std::string& name, TensorId x, std::int64_t channels,
                        const Window& window, std::int64_t groups) {
  return relu(name + ".relu", conv(name, x, channels, window, true, groups));
}

TensorId Net::max_pool(const std::string& name, TensorId x, const Window& window, bool ceil_mode) {
  return builder_.forward(name, OpKind::kMaxPool, pool_attrs(window, ceil_mode), {x});
}

TensorId Net::avg_pool(const std::string& name, TensorId x, const Window& window) {
  return builder_.forward(name, OpKind::kAvgPool, pool_attrs(window, false), {x});
}

TensorId Net::flatten(const std::string& name, TensorId x) {
  return reshape(name, x, {builder_.type(x).shape.elements()});
}

TensorId Net::linear(const std::string& name, TensorId x, std::int64_t features, double stddev,
                     bool bias) {
  const std::int64_t in = last_axis(builder_.type(x));
  const Init init = stddev > 0 ? Init{Init::Kind::kNormal, stddev} : he(in);
  std::vector<TensorId> operands = {
      x, builder_.parameter(name + ".weight", Shape{{features, in}}, init)};
  if (bias) operands.push_back(builder_.parameter(name + ".bias", Shape{{features}}, {}));
  return builder_.forward(name, OpKind::kLinear, LinearAttrs{features, bias}, std::move(operands));
}

TensorId Net::dropout(const std::string& name, TensorId x, double p) {
  return builder_.forward(name, OpKind::kDropout, DropoutAttrs{p, dropouts_++}, {x});
}

TensorId Net::concat(const std::string& name, const std::vector<TensorId>& parts,
                     std::int64_t axis) {
  return builder_.forward(name, OpKind::kConcat, AxisAttrs{axis}, parts);
}

TensorId Net::layer_norm(const std::string& name, TensorId x, double epsilon) {
  const Shape shape{{last_axis(builder_.type(x))}};
  const TensorId gamma = builder_.parameter(name + ".weight", shape, {Init::Kind::kOnes, 0});
  const TensorId beta = builder_.parameter(name + ".bias", shape, {});
  return builder_.forward(name, OpKind::kLayerNorm, NormAttrs{epsilon}, {x, gamma, beta});
}

TensorId Net::table(const std::string& name, std::int64_t rows, std::int64_t width, double stddev) {
  return builder_.parameter(name, Shape{{rows, width}}, {Init::Kind::kNormal, stddev});
}

TensorId Net::embedding(const std::string& name, TensorId ids, TensorId table) {
  const Shape& shape = builder_.type(table).shape;
  if (shape.rank() != 2) return ids;  // after a failure, which build() reports
  return builder_.forward(name, OpKind::kEmbedding, EmbeddingAttrs{shape[0], shape[1]},
                          {ids, table});
}

Result<ModelGraph> Net::finish_classifier(TensorId logits) && {
  Shape shape = builder_.type(logits).shape;
  if (!shape.dims.empty()) shape.dims.pop_back();
  const TensorId labels = builder_.input("labels", shape, DType::kI32);
  const TensorId loss =
      builder_.forward("loss", OpKind::kSoftmaxCrossEntropy, NoAttrs{}, {logits, labels});
  return std::move(*this).finish(logits, labels, loss);
}

Result<ModelGraph> Net::finish_binary(TensorId logits) && {
  const TensorId labels = builder_.input("labels", builder_.type(logits).shape);
  const TensorId loss =
      builder_.forward("loss", OpKind::kBceWithLogits, NoAttrs{}, {logits, labels});
  return std::move(*this).finish(logits, labels, loss);
}

Result<ModelGraph> Net::finish(TensorId logits, TensorId labels, TensorId loss) && {
  ModelGraph model;
  model.name = name_;
  model.inputs = inputs_;
  model.labels = labels;
  model.logits = logits;
  model.loss = loss;
  PLUTO_ASSIGN_AT(name_, model.graph, std::move(builder_).build());
  return model;
}

}  // namespace pluto
