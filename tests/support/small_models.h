#pragma once
// Models small enough to reason about by hand.

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "model/graph.h"

namespace pluto::testing {

/// Linear layers of the given widths (with bias) and relu between them, cross entropy over the
/// last. Parameters "fc0.w", "fc0.b" ...
inline ModelGraph perceptron(const std::vector<std::int64_t>& widths) {
  GraphBuilder builder;
  const TensorId x = builder.input("x", Shape{{widths.front()}});
  const TensorId labels = builder.input("labels", Shape{}, DType::kI32);
  TensorId y = x;
  for (std::size_t i = 1; i < widths.size(); ++i) {
    const std::string name = "fc" + std::to_string(i - 1);
    const TensorId w = builder.parameter(name + ".w", Shape{{widths[i], widths[i - 1]}}, {});
    const TensorId b = builder.parameter(name + ".b", Shape{{widths[i]}}, {});
    y = builder.forward(name, OpKind::kLinear, LinearAttrs{widths[i], true}, {y, w, b});
    if (i + 1 < widths.size()) {
      y = builder.forward("relu" + std::to_string(i - 1), OpKind::kRelu, NoAttrs{}, {y});
    }
  }
  const auto loss =
      builder.op("loss", OpKind::kSoftmaxCrossEntropy, OpPass::kForward, NoAttrs{}, {y, labels});
  auto graph = std::move(builder).build();
  EXPECT_TRUE(graph.ok()) << (graph.ok() ? "" : graph.error().message);
  return {"perceptron", std::move(graph).value(), {x}, labels, y, loss.front()};
}

/// conv 3x3, relu, global average pooling, linear: one parameter without and two with sufficient
/// factors.
inline ModelGraph small_convnet(std::int64_t channels, std::int64_t classes) {
  GraphBuilder builder;
  const TensorId x = builder.input("x", Shape{{3, 8, 8}});
  const TensorId labels = builder.input("labels", Shape{}, DType::kI32);
  const TensorId w = builder.parameter("conv.w", Shape{{channels, 3, 3, 3}}, {});
  ConvAttrs attrs;
  attrs.out_channels = channels;
  attrs.kernel_h = attrs.kernel_w = 3;
  attrs.pad_top = attrs.pad_left = attrs.pad_bottom = attrs.pad_right = 1;
  const TensorId conv = builder.forward("conv", OpKind::kConv2d, attrs, {x, w});
  const TensorId relu = builder.forward("relu", OpKind::kRelu, NoAttrs{}, {conv});
  const TensorId pooled = builder.forward("pool", OpKind::kGlobalAvgPool, NoAttrs{}, {relu});
  const TensorId fc_w = builder.parameter("fc.w", Shape{{classes, channels}}, {});
  const TensorId fc_b = builder.parameter("fc.b", Shape{{classes}}, {});
  const TensorId logits =
      builder.forward("fc", OpKind::kLinear, LinearAttrs{classes, true}, {pooled, fc_w, fc_b});
  const auto loss = builder.op("loss", OpKind::kSoftmaxCrossEntropy, OpPass::kForward, NoAttrs{},
                               {logits, labels});
  auto graph = std::move(builder).build();
  EXPECT_TRUE(graph.ok()) << (graph.ok() ? "" : graph.error().message);
  return {"small_convnet", std::move(graph).value(), {x}, labels, logits, loss.front()};
}

}  // namespace pluto::testing
