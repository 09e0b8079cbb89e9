#pragma once
// Small models with everything activation checkpointing has to get right: batch norms that keep
// running statistics, dropout, residual additions, attention fused and in single nodes.

#include <string>
#include <utility>
#include <vector>

#include "model/graph.h"
#include "tests/support/toy_models.h"

namespace pluto::testing {

/// Three residual blocks of two convolutions with batch norms, 4 channels on 6 x 6, five classes.
inline ModelGraph small_resnet() {
  GraphBuilder b;
  ModelGraph model;
  model.name = "small-resnet";
  model.inputs = {b.input("x", {{2, 6, 6}})};
  model.labels = b.input("labels", {}, DType::kI32);
  const Init normal{Init::Kind::kNormal, 0.5}, ones{Init::Kind::kOnes};
  const auto conv_norm = [&](const std::string& name, TensorId x, std::int64_t channels) {
    ConvAttrs attrs;
    attrs.out_channels = 4;
    attrs.kernel_h = attrs.kernel_w = 3;
    attrs.pad_top = attrs.pad_left = attrs.pad_bottom = attrs.pad_right = 1;
    const TensorId y = b.forward(name, OpKind::kConv2d, attrs,
                                 {x, b.parameter(name + ".weight", {{4, channels, 3, 3}}, normal)});
    const TensorType statistic{{{4}}, DType::kF32, 0};
    const std::string norm = name + ".bn";
    const std::vector<TensorId> operands = {y, b.parameter(norm + ".gamma", {{4}}, ones),
                                            b.parameter(norm + ".beta", {{4}}, {})};
    const std::vector<TensorId> running = {
        b.tensor(norm + ".running_mean", TensorRole::kBuffer, statistic),
        b.tensor(norm + ".running_var", TensorRole::kBuffer, statistic, ones)};
    return b.op(norm, OpKind::kBatchNorm, OpPass::kForward, BatchNormAttrs{}, operands, running)[0];
  };
  const auto relu = [&](const std::string& name, TensorId x) {
    return b.forward(name, OpKind::kRelu, NoAttrs{}, {x});
  };
  TensorId x = relu("stem.relu", conv_norm("stem", model.inputs[0], 2));
  for (const std::string& block : {std::string("a"), std::string("b"), std::string("c")}) {
    const TensorId y = relu(block + "1.relu", conv_norm(block + "1", x, 4));
    const TensorId sum =
        b.forward(block + ".add", OpKind::kAdd, AddAttrs{}, {conv_norm(block + "2", y, 4), x});
    x = relu(block + ".relu", sum);
  }
  const TensorId pooled = b.forward("pool", OpKind::kGlobalAvgPool, NoAttrs{}, {x});
  model.logits = b.forward(
      "head", OpKind::kLinear, LinearAttrs{5, true},
      {pooled, b.parameter("head.weight", {{5, 4}}, normal), b.parameter("head.bias", {{5}}, {})});
  model.loss =
      b.forward("loss", OpKind::kSoftmaxCrossEntropy, NoAttrs{}, {model.logits, model.labels});
  return finished(std::move(b), std::move(model));
}

/// A decoder of width 8 with two heads, 6 tokens of 5; dropout after the embedding, each attention
/// and each feed-forward block. `eager`: attention as product, softmax, dropout (unless told
/// otherwise), product per head axis, not causal.
inline ModelGraph small_gpt(int layers, bool eager, bool drop_weights = true) {
  constexpr std::int64_t kWidth = 8, kHeads = 2, kTokens = 6, kWords = 5;
  GraphBuilder b;
  ModelGraph model;
  model.name = "small-gpt";
  model.inputs = {b.input("tokens", {{kTokens}}, DType::kI32)};
  model.labels = b.input("labels", {{kTokens}}, DType::kI32);
  const Init normal{Init::Kind::kNormal, 0.5}, ones{Init::Kind::kOnes};
  std::int64_t streams = 0;
  const auto dropout = [&](const std::string& name, TensorId x) {
    return b.forward(name, OpKind::kDropout, DropoutAttrs{0.25, streams++}, {x});
  };
  const auto linear = [&](const std::string& name, TensorId x, std::int64_t in, std::int64_t out) {
    return b.forward(name, OpKind::kLinear, LinearAttrs{out, true},
                     {x, b.parameter(name + ".weight", {{out, in}}, normal),
                      b.parameter(name + ".bias", {{out}}, normal)});
  };
  const auto norm = [&](const std::string& name, TensorId x) {
    return b.forward(name, OpKind::kLayerNorm, NormAttrs{},
                     {x, b.parameter(name + ".gamma", {{kWidth}}, ones),
                      b.parameter(name + ".beta", {{kWidth}}, {})});
  };
  const auto heads = [&](const std::string& name, TensorId x) {
    const TensorId split = b.forward(name + ".heads", OpKind::kReshape,
                                     ReshapeAttrs{{kTokens, kHeads, kWidth / kHeads}}, {x});
    return b.forward(name + ".turned", OpKind::kTranspose, TransposeAttrs{{1, 0, 2}}, {split});
  };
  const auto attention = [&](const std::string& name, const std::vector<TensorId>& qkv) {
    if (!eager) {
      return b.forward(name, OpKind::kAttention, AttentionAttrs{kHeads, kHeads, true}, qkv);
    }
    const TensorId q = heads(name + ".q", qkv[0]), k = heads(name + ".k", qkv[1]);
    const TensorId v = heads(name + ".v", qkv[2]);
    const TensorId scores =
        b.forward(name + ".scores", OpKind::kMatMul, MatMulAttrs{false, true, 0.5}, {q, k});
    TensorId weights = b.forward(name + ".softmax", OpKind::kSoftmax, NoAttrs{}, {scores});
    if (drop_weights) weights = dropout(name + ".drop", weights);
    const TensorId context =
        b.forward(name + ".context", OpKind::kMatMul, MatMulAttrs{}, {weights, v});
    const TensorId turned =
        b.forward(name + ".back", OpKind::kTranspose, TransposeAttrs{{1, 0, 2}}, {context});
    return b.forward(name + ".joined", OpKind::kReshape, ReshapeAttrs{{kTokens, kWidth}}, {turned});
  };
  const TensorId table = b.parameter("wte", {{kWords, kWidth}}, normal);
  TensorId x = b.forward("embed", OpKind::kEmbedding, EmbeddingAttrs{kWords, kWidth},
                         {model.inputs[0], table});
  x = b.forward("position", OpKind::kPositionAdd, NoAttrs{},
                {x, b.parameter("wpe", {{kTokens, kWidth}}, normal)});
  x = dropout("embed.drop", x);
  for (int layer = 0; layer < layers; ++layer) {
    const std::string h = "h" + std::to_string(layer);
    const TensorId qkv = linear(h + ".qkv", norm(h + ".ln1", x), kWidth, 3 * kWidth);
    const auto parts = b.op(h + ".split", OpKind::kSplit, OpPass::kForward,
                            SplitAttrs{1, {kWidth, kWidth, kWidth}}, {qkv});
    const TensorId attended =
        linear(h + ".proj", attention(h + ".attention", parts), kWidth, kWidth);
    x = b.forward(h + ".add1", OpKind::kAdd, AddAttrs{}, {x, dropout(h + ".drop1", attended)});
    const TensorId inner = b.forward(h + ".gelu", OpKind::kGelu, NoAttrs{},
                                     {linear(h + ".up", norm(h + ".ln2", x), kWidth, 4 * kWidth)});
    x = b.forward(h + ".add2", OpKind::kAdd, AddAttrs{},
                  {x, dropout(h + ".drop2", linear(h + ".down", inner, 4 * kWidth, kWidth))});
  }
  model.logits =
      b.forward("head", OpKind::kLinear, LinearAttrs{kWords, false}, {norm("ln_f", x), table});
  model.loss =
      b.forward("loss", OpKind::kSoftmaxCrossEntropy, NoAttrs{}, {model.logits, model.labels});
  return finished(std::move(b), std::move(model));
}

}  // namespace pluto::testing
