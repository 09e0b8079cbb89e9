#pragma once
// Models in the shapes that data sources distinguish.

#include "tests/support/toy_models.h"

namespace pluto::testing {

/// image(channels, side, side) -> flat -> fc(classes) = logits -> loss.
inline ModelGraph image_classifier(std::int64_t channels, std::int64_t side, std::int64_t classes) {
  GraphBuilder b;
  ModelGraph model;
  model.name = "image-classifier";
  const std::int64_t pixels = channels * side * side;
  model.inputs = {b.input("image", {{channels, side, side}})};
  model.labels = b.input("labels", {}, DType::kI32);
  const TensorId weight =
      b.parameter("fc.weight", {{classes, pixels}}, {Init::Kind::kNormal, 0.01});
  const TensorId bias = b.parameter("fc.bias", {{classes}}, {});
  const TensorId flat =
      b.forward("flat", OpKind::kReshape, ReshapeAttrs{{pixels}}, {model.inputs[0]});
  model.logits = b.forward("fc", OpKind::kLinear, LinearAttrs{classes, true}, {flat, weight, bias});
  model.loss =
      b.forward("loss", OpKind::kSoftmaxCrossEntropy, NoAttrs{}, {model.logits, model.labels});
  return finished(std::move(b), std::move(model));
}

/// x(2,6,6) -> conv(4) -> relu -> pool (max, 2) -> dropout -> fc(5) = logits -> loss: every sample
/// on its own, so that any split over ranks and micro-batches gives the same sums.
inline ModelGraph small_conv() {
  GraphBuilder b;
  ModelGraph model;
  model.name = "small-conv";
  model.inputs = {b.input("x", {{2, 6, 6}})};
  model.labels = b.input("labels", {}, DType::kI32);
  const Init normal{Init::Kind::kNormal, 0.3};
  ConvAttrs conv;
  conv.out_channels = 4;
  conv.kernel_h = conv.kernel_w = 3;
  conv.pad_top = conv.pad_left = conv.pad_bottom = conv.pad_right = 1;
  conv.bias = true;
  PoolAttrs pool;
  pool.kernel_h = pool.kernel_w = pool.stride_h = pool.stride_w = 2;
  const TensorId w1 = b.parameter("conv.weight", {{4, 2, 3, 3}}, normal);
  const TensorId b1 = b.parameter("conv.bias", {{4}}, {});
  const TensorId w2 = b.parameter("fc.weight", {{5, 36}}, normal);
  const TensorId b2 = b.parameter("fc.bias", {{5}}, {});
  const TensorId y = b.forward("conv", OpKind::kConv2d, conv, {model.inputs[0], w1, b1});
  const TensorId act = b.forward("act", OpKind::kRelu, NoAttrs{}, {y});
  const TensorId pooled = b.op("pool", OpKind::kMaxPool, OpPass::kForward, pool, {act})[0];
  const TensorId kept = b.forward("drop", OpKind::kDropout, DropoutAttrs{0.25, 3}, {pooled});
  const TensorId flat = b.forward("flat", OpKind::kReshape, ReshapeAttrs{{36}}, {kept});
  model.logits = b.forward("fc", OpKind::kLinear, LinearAttrs{5, true}, {flat, w2, b2});
  model.loss =
      b.forward("loss", OpKind::kSoftmaxCrossEntropy, NoAttrs{}, {model.logits, model.labels});
  return finished(std::move(b), std::move(model));
}

/// ids(sequence) -> table(rows, 6) -> head(vocabulary) = logits -> loss, one label per position.
inline ModelGraph language_model(std::int64_t vocabulary, std::int64_t sequence) {
  GraphBuilder b;
  ModelGraph model;
  model.name = "language-model";
  const Init normal{Init::Kind::kNormal, 0.1};
  model.inputs = {b.input("ids", {{sequence}}, DType::kI32)};
  model.labels = b.input("labels", {{sequence}}, DType::kI32);
  const TensorId table = b.parameter("table", {{vocabulary, 6}}, normal);
  const TensorId head = b.parameter("head.weight", {{vocabulary, 6}}, normal);
  const TensorId x = b.forward("embed", OpKind::kEmbedding, EmbeddingAttrs{vocabulary, 6},
                               {model.inputs[0], table});
  model.logits = b.forward("head", OpKind::kLinear, LinearAttrs{vocabulary, false}, {x, head});
  model.loss =
      b.forward("loss", OpKind::kSoftmaxCrossEntropy, NoAttrs{}, {model.logits, model.labels});
  return finished(std::move(b), std::move(model));
}

}  // namespace pluto::testing
