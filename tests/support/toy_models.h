#pragma once
// Models of a few nodes, written out, for tests that name every node.

#include <string>
#include <utility>

#include "base/check.h"
#include "model/graph.h"

namespace pluto::testing {

inline ModelGraph finished(GraphBuilder&& builder, ModelGraph model) {
  auto graph = std::move(builder).build();
  PLUTO_CHECK(graph.ok(), graph.ok() ? "" : graph.error().message.c_str());
  model.graph = std::move(*graph);
  return model;
}

/// x(4) -> fc1(6, bias) -> act1 (relu) -> fc2(3, bias) = logits -> loss.
inline ModelGraph two_layers() {
  GraphBuilder b;
  ModelGraph model;
  model.name = "two-layers";
  model.inputs = {b.input("x", {{4}})};
  model.labels = b.input("labels", {}, DType::kI32);
  const Init normal{Init::Kind::kNormal, 0.5};
  const TensorId w1 = b.parameter("fc1.weight", {{6, 4}}, normal);
  const TensorId b1 = b.parameter("fc1.bias", {{6}}, {});
  const TensorId w2 = b.parameter("fc2.weight", {{3, 6}}, normal);
  const TensorId b2 = b.parameter("fc2.bias", {{3}}, {});
  const TensorId fc1 =
      b.forward("fc1", OpKind::kLinear, LinearAttrs{6, true}, {model.inputs[0], w1, b1});
  const TensorId act1 = b.forward("act1", OpKind::kRelu, NoAttrs{}, {fc1});
  model.logits = b.forward("fc2", OpKind::kLinear, LinearAttrs{3, true}, {act1, w2, b2});
  model.loss =
      b.forward("loss", OpKind::kSoftmaxCrossEntropy, NoAttrs{}, {model.logits, model.labels});
  return finished(std::move(b), std::move(model));
}

/// x(4) -> fc1 -> fc2 with one weight(4, 4) for both -> head(3) = logits -> loss. No biases.
inline ModelGraph tied_layers() {
  GraphBuilder b;
  ModelGraph model;
  model.name = "tied-layers";
  model.inputs = {b.input("x", {{4}})};
  model.labels = b.input("labels", {}, DType::kI32);
  const Init normal{Init::Kind::kNormal, 0.5};
  const LinearAttrs square{4, false};
  const TensorId shared = b.parameter("shared", {{4, 4}}, normal);
  const TensorId head = b.parameter("head.weight", {{3, 4}}, normal);
  const TensorId fc1 = b.forward("fc1", OpKind::kLinear, square, {model.inputs[0], shared});
  const TensorId fc2 = b.forward("fc2", OpKind::kLinear, square, {fc1, shared});
  model.logits = b.forward("head", OpKind::kLinear, LinearAttrs{3, false}, {fc2, head});
  model.loss =
      b.forward("loss", OpKind::kSoftmaxCrossEntropy, NoAttrs{}, {model.logits, model.labels});
  return finished(std::move(b), std::move(model));
}

/// x(2,4,4) -> conv -> norm -> act (relu) -> conv2 -> norm2 -> sum (+ act) -> out (relu) -> pool ->
/// head(3, bias) = logits -> loss.
inline ModelGraph residual_block() {
  GraphBuilder b;
  ModelGraph model;
  model.name = "residual-block";
  model.inputs = {b.input("x", {{2, 4, 4}})};
  model.labels = b.input("labels", {}, DType::kI32);
  const Init normal{Init::Kind::kNormal, 0.5}, ones{Init::Kind::kOnes};
  const auto conv = [&](const std::string& name, TensorId x, std::int64_t channels) {
    ConvAttrs attrs;
    attrs.out_channels = 3;
    attrs.kernel_h = attrs.kernel_w = 3;
    attrs.pad_top = attrs.pad_left = attrs.pad_bottom = attrs.pad_right = 1;
    const TensorId weight = b.parameter(name + ".weight", {{3, channels, 3, 3}}, normal);
    return b.forward(name, OpKind::kConv2d, attrs, {x, weight});
  };
  const auto norm = [&](const std::string& name, TensorId x) {
    const Shape channels{{3}};
    const TensorType statistic{channels, DType::kF32, 0};
    const TensorId gamma = b.parameter(name + ".gamma", channels, ones);
    const TensorId beta = b.parameter(name + ".beta", channels, {});
    const TensorId mean = b.tensor(name + ".running_mean", TensorRole::kBuffer, statistic);
    const TensorId variance = b.tensor(name + ".running_var", TensorRole::kBuffer, statistic, ones);
    return b.op(name, OpKind::kBatchNorm, OpPass::kForward, BatchNormAttrs{}, {x, gamma, beta},
                {mean, variance})[0];
  };
  const auto relu = [&](const std::string& name, TensorId x) {
    return b.forward(name, OpKind::kRelu, NoAttrs{}, {x});
  };
  const TensorId act = relu("act", norm("norm", conv("conv", model.inputs[0], 2)));
  const TensorId right = norm("norm2", conv("conv2", act, 3));
  const TensorId out = relu("out", b.forward("sum", OpKind::kAdd, AddAttrs{}, {right, act}));
  const TensorId pooled = b.forward("pool", OpKind::kGlobalAvgPool, NoAttrs{}, {out});
  const TensorId weight = b.parameter("head.weight", {{3, 3}}, normal);
  const TensorId bias = b.parameter("head.bias", {{3}}, {});
  model.logits = b.forward("head", OpKind::kLinear, LinearAttrs{3, true}, {pooled, weight, bias});
  model.loss =
      b.forward("loss", OpKind::kSoftmaxCrossEntropy, NoAttrs{}, {model.logits, model.labels});
  return finished(std::move(b), std::move(model));
}

/// All that the fuse pass merges behind products, and two norms that meet in a sum:
/// x(2,4,4) -> conv_relu -> (left, norm_left) + (right, norm_right) = sum -> out (relu) ->
/// conv_silu -> pool -> fc_gelu -> fc_tanh -> fc_sigmoid -> head(3) = logits -> loss. The node of a
/// function is named as its product with ".y" behind.
inline ModelGraph every_epilogue() {
  GraphBuilder b;
  ModelGraph model;
  model.name = "every-epilogue";
  model.inputs = {b.input("x", {{2, 4, 4}})};
  model.labels = b.input("labels", {}, DType::kI32);
  const Init normal{Init::Kind::kNormal, 0.6}, ones{Init::Kind::kOnes};
  const auto conv = [&](const std::string& name, TensorId x, std::int64_t channels, bool bias) {
    ConvAttrs attrs;
    attrs.out_channels = 3;
    attrs.bias = bias;
    std::vector<TensorId> inputs = {x,
                                    b.parameter(name + ".weight", {{3, channels, 1, 1}}, normal)};
    if (bias) inputs.push_back(b.parameter(name + ".bias", {{3}}, normal));
    return b.forward(name, OpKind::kConv2d, attrs, std::move(inputs));
  };
  const auto norm = [&](const std::string& name, TensorId x) {
    const TensorType statistic{{{3}}, DType::kF32, 0};
    return b.op(
        name, OpKind::kBatchNorm, OpPass::kForward, BatchNormAttrs{},
        {x, b.parameter(name + ".gamma", {{3}}, ones), b.parameter(name + ".beta", {{3}}, normal)},
        {b.tensor(name + ".mean", TensorRole::kBuffer, statistic),
         b.tensor(name + ".var", TensorRole::kBuffer, statistic, ones)})[0];
  };
  const auto linear = [&](const std::string& name, TensorId x, bool bias) {
    std::vector<TensorId> inputs = {x, b.parameter(name + ".weight", {{3, 3}}, normal)};
    if (bias) inputs.push_back(b.parameter(name + ".bias", {{3}}, normal));
    return b.forward(name, OpKind::kLinear, LinearAttrs{3, bias}, std::move(inputs));
  };
  const auto function = [&](OpKind kind, const std::string& name, TensorId z) {
    return b.forward(name + ".y", kind, NoAttrs{}, {z});
  };
  TensorId x = function(OpKind::kRelu, "conv_relu", conv("conv_relu", model.inputs[0], 2, true));
  const TensorId left = norm("norm_left", conv("left", x, 3, false));
  const TensorId right = norm("norm_right", conv("right", x, 3, false));
  x = b.forward("sum", OpKind::kAdd, AddAttrs{}, {left, right});
  x = b.forward("out", OpKind::kRelu, NoAttrs{}, {x});
  x = function(OpKind::kSilu, "conv_silu", conv("conv_silu", x, 3, false));
  x = b.forward("pool", OpKind::kGlobalAvgPool, NoAttrs{}, {x});
  x = function(OpKind::kGelu, "fc_gelu", linear("fc_gelu", x, true));
  x = function(OpKind::kTanh, "fc_tanh", linear("fc_tanh", x, true));
  x = function(OpKind::kSigmoid, "fc_sigmoid", linear("fc_sigmoid", x, false));
  model.logits = linear("head", x, true);
  model.loss =
      b.forward("loss", OpKind::kSoftmaxCrossEntropy, NoAttrs{}, {model.logits, model.labels});
  return finished(std::move(b), std::move(model));
}

}  // namespace pluto::testing
