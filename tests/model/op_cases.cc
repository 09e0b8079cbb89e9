#include "tests/model/op_cases.h"

namespace pluto {
namespace {

const std::vector<TensorType> kGradient = {fixed({6, 5})};

ConvAttrs conv(std::int64_t channels, std::int64_t kernel, std::int64_t stride, std::int64_t pad,
               std::int64_t groups, bool bias) {
  ConvAttrs a;
  a.out_channels = channels;
  a.kernel_h = a.kernel_w = kernel;
  a.stride_h = a.stride_w = stride;
  a.pad_top = a.pad_left = a.pad_bottom = a.pad_right = pad;
  a.groups = groups;
  a.bias = bias;
  return a;
}

ConvAttrs activated(ConvAttrs attrs, Activation activation) {
  attrs.activation = activation;
  return attrs;
}

PoolAttrs pool(std::int64_t kernel, std::int64_t stride, std::int64_t pad, bool ceil_mode) {
  PoolAttrs a;
  a.kernel_h = a.kernel_w = kernel;
  a.stride_h = a.stride_w = stride;
  a.pad_top = a.pad_left = a.pad_bottom = a.pad_right = pad;
  a.ceil_mode = ceil_mode;
  return a;
}

bool is_loss(OpKind kind) {
  return kind == OpKind::kSoftmaxCrossEntropy || kind == OpKind::kBceWithLogits ||
         kind == OpKind::kMse || kind == OpKind::kSplitCrossEntropy;
}

}  // namespace

std::vector<OpCase> op_cases() {
  const DType ids = DType::kI32;
  return {
      {OpKind::kConv2d,
       conv(8, 3, 2, 1, 1, true),
       {sample({4, 9, 7}), fixed({8, 4, 3, 3}), fixed({8})},
       {}},
      {OpKind::kConv2d, conv(8, 3, 1, 1, 4, false), {sample({4, 9, 7}), fixed({8, 1, 3, 3})}, {}},
      {OpKind::kLinear, LinearAttrs{6, true}, {sample({3, 5}), fixed({6, 5}), fixed({6})}, {}},
      {OpKind::kLinear, LinearAttrs{6, false}, {sample({5}), fixed({6, 5})}, {}},
      {OpKind::kLinear,
       LinearAttrs{6, true, Activation::kRelu},
       {sample({3, 5}), fixed({6, 5}), fixed({6})},
       {}},
      {OpKind::kLinear,
       LinearAttrs{6, false, Activation::kGelu},
       {sample({3, 5}), fixed({6, 5})},
       {}},
      {OpKind::kConv2d,
       activated(conv(8, 3, 1, 1, 1, true), Activation::kSilu),
       {sample({4, 9, 7}), fixed({8, 4, 3, 3}), fixed({8})},
       {}},
      {OpKind::kMatMul, MatMulAttrs{}, {sample({2, 3, 4}), sample({2, 4, 5})}, {}},
      {OpKind::kMatMul, MatMulAttrs{true, false, 0.5}, {sample({2, 4, 3}), sample({2, 4, 5})}, {}},
      {OpKind::kMatMul, MatMulAttrs{false, true, 1}, {sample({2, 3, 4}), sample({2, 5, 4})}, {}},
      {OpKind::kMatMul, MatMulAttrs{true, true, 1e-5}, {sample({4, 3}), sample({5, 4})}, {}},
      {OpKind::kMoeFfn,
       MoeAttrs{4, 2, 7},
       {sample({3, 5}), fixed({4, 5}), fixed({4, 7, 5}), fixed({4, 7, 5}), fixed({4, 5, 7})},
       {}},
      {OpKind::kMaxPool, pool(3, 2, 1, false), {sample({4, 9, 7})}, {}},
      {OpKind::kAvgPool, pool(2, 2, 0, true), {sample({4, 9, 7})}, {}},
      {OpKind::kGlobalAvgPool, NoAttrs{}, {sample({4, 9, 7})}, {}},
      {OpKind::kBatchNorm,
       BatchNormAttrs{},
       {sample({4, 9, 7}), fixed({4}), fixed({4})},
       {fixed({4}), fixed({4})}},
      {OpKind::kBatchNorm,
       BatchNormAttrs{1e-3, 0.01, true},
       {sample({4}), fixed({4}), fixed({4})},
       {fixed({4}), fixed({4})}},
      {OpKind::kBatchNorm,
       BatchNormAttrs{1e-3, 0.01, true, true},
       {sample({4, 3}), fixed({4}), fixed({4}), sample({4, 3})},
       {fixed({4}), fixed({4})}},
      {OpKind::kLrn, LrnAttrs{}, {sample({4, 9, 7})}, {}},
      {OpKind::kLayerNorm, NormAttrs{}, {sample({3, 5}), fixed({5}), fixed({5})}, {}},
      {OpKind::kRmsNorm, NormAttrs{1e-6}, {sample({3, 5}), fixed({5})}, {}},
      {OpKind::kRelu, NoAttrs{}, {sample({3, 5})}, {}},
      {OpKind::kGelu, NoAttrs{}, {sample({3, 5})}, {}},
      {OpKind::kSilu, NoAttrs{}, {sample({3, 5})}, {}},
      {OpKind::kSigmoid, NoAttrs{}, {sample({3, 5})}, {}},
      {OpKind::kTanh, NoAttrs{}, {sample({3, 5}, DType::kBF16)}, {}},
      {OpKind::kDropout, DropoutAttrs{0.1, 0}, {sample({3, 5})}, {}},
      {OpKind::kAdd, AddAttrs{}, {sample({3, 5}), sample({3, 5})}, {}},
      {OpKind::kAdd, AddAttrs{true}, {sample({3, 5}), sample({3, 5})}, {}},
      {OpKind::kMul, NoAttrs{}, {sample({3, 5}), sample({3, 5})}, {}},
      {OpKind::kPositionAdd, NoAttrs{}, {sample({3, 5}), fixed({8, 5})}, {}},
      {OpKind::kConcat, AxisAttrs{1}, {sample({3, 5}), sample({3, 2}), sample({3, 1})}, {}},
      {OpKind::kSplit, SplitAttrs{1, {2, 1, 2}}, {sample({3, 5})}, {}},
      {OpKind::kSlice, SliceAttrs{1, 1, 3}, {sample({3, 5})}, {}},
      {OpKind::kReshape, ReshapeAttrs{{5, 3}}, {sample({3, 5})}, {}},
      {OpKind::kTranspose, TransposeAttrs{{2, 0, 1}}, {sample({3, 5, 2})}, {}},
      {OpKind::kSoftmax, NoAttrs{}, {sample({3, 5})}, {}},
      {OpKind::kAttention,
       AttentionAttrs{4, 2, true},
       {sample({6, 12}), sample({6, 6}), sample({6, 6})},
       {}},
      {OpKind::kRotary, RotaryAttrs{3, 500000}, {sample({6, 12})}, {}},
      {OpKind::kLstm,
       RecurrentAttrs{4, false, false},
       {sample({6, 5}), fixed({16, 5}), fixed({16, 4}), fixed({16})},
       {}},
      {OpKind::kLstm,
       RecurrentAttrs{4, true, true},
       {sample({6, 5}), fixed({16, 5}), fixed({16, 4}), fixed({16}), sample({4}), sample({4})},
       {}},
      {OpKind::kGru,
       RecurrentAttrs{4, false, false},
       {sample({6, 5}), fixed({12, 5}), fixed({12, 4}), fixed({12}), fixed({12})},
       {}},
      {OpKind::kGru,
       RecurrentAttrs{4, false, true},
       {sample({6, 5}), fixed({12, 5}), fixed({12, 4}), fixed({12}), fixed({12}), sample({4})},
       {}},
      {OpKind::kEmbedding, EmbeddingAttrs{11, 5}, {sample({6}, ids), fixed({11, 5})}, {}},
      {OpKind::kEmbedding, EmbeddingAttrs{11, 5}, {sample({}, ids), fixed({11, 5})}, {}},
      {OpKind::kEmbedding, EmbeddingAttrs{11, 5, true}, {sample({6}, ids), fixed({11, 5})}, {}},
      {OpKind::kEmbeddingBag, EmbeddingAttrs{11, 5}, {sample({6}, ids), fixed({11, 5})}, {}},
      {OpKind::kCosineSimilarity, ScaleAttrs{20}, {sample({5}), sample({4, 5})}, {}},
      {OpKind::kSoftmaxCrossEntropy, NoAttrs{}, {sample({6, 11}), sample({6}, ids)}, {}},
      {OpKind::kSoftmaxCrossEntropy, NoAttrs{}, {sample({10}), sample({}, ids)}, {}},
      {OpKind::kBceWithLogits, NoAttrs{}, {sample({5}), sample({5})}, {}},
      {OpKind::kMse, NoAttrs{}, {sample({5}), sample({5})}, {}},
      {OpKind::kSoftmaxTerms, NoAttrs{}, {sample({6, 11}), sample({6}, ids)}, {}},
      {OpKind::kSplitCrossEntropy,
       NoAttrs{},
       {sample({6, 11}), sample({6}, ids), sample({6, 4})},
       {}},
      {OpKind::kCast, CastAttrs{"f16"}, {sample({3, 5})}, {}},
      {OpKind::kCast, CastAttrs{"bf16"}, {fixed({3, 5})}, {}},
      {OpKind::kAccumulate, NoAttrs{}, kGradient, kGradient},
      {OpKind::kSgd, SgdAttrs{}, kGradient, kGradient},
      {OpKind::kSgd, SgdAttrs{0.9, 1e-4, true}, kGradient, {fixed({6, 5}), fixed({6, 5})}},
      {OpKind::kAdam,
       AdamAttrs{0.9, 0.95, 1e-8, 0.1, true},
       kGradient,
       {fixed({6, 5}), fixed({6, 5}), fixed({6, 5})}},
      {OpKind::kAllReduce, CommAttrs{0, 4}, {}, {fixed({6, 5}), fixed({6})}},
      {OpKind::kServerPush, CommAttrs{0, 4}, {}, kGradient},
      {OpKind::kServerPull, CommAttrs{0, 4}, {}, kGradient},
      {OpKind::kAllReduce, CommAttrs{0, 4}, {fixed({36}, DType::kBF16)}, {}},
      {OpKind::kFactorGather, CommAttrs{0, 4}, {sample({3, 5})}, {}},
      {OpKind::kFactorPush, CommAttrs{0, 4}, {sample({3, 5})}, {}},
      {OpKind::kPack, WireAttrs{0, "f16", 1024}, {sample({3, 5})}, {}},
      {OpKind::kPack, WireAttrs{0, "bf16", 1}, {fixed({3, 5})}, {}},
      {OpKind::kUnpack, WireAttrs{0, "f16", 1024}, {sample({3, 5}, DType::kF16)}, {}},
      {OpKind::kUnpack, WireAttrs{0, "bf16", 1}, {fixed({30}, DType::kBF16)}, kGradient},
      {OpKind::kReduceScatter, CommAttrs{0, 4}, kGradient, kGradient},
      {OpKind::kParameterGather, CommAttrs{0, 4}, {fixed({3, 5})}, {}},
      {OpKind::kAverage, AverageAttrs{4, 0}, kGradient, kGradient},
      {OpKind::kAverage,
       AverageAttrs{4, 0.9},
       kGradient,
       {fixed({6, 5}), fixed({6, 5}), fixed({6, 5})}},
      {OpKind::kSend, StageAttrs{1, "3x5:f32:b1"}, {sample({3, 5})}, {}},
      {OpKind::kReceive, StageAttrs{1, "3x5:f32:b1"}, {}, {}},
      {OpKind::kStageReduce, StageAttrs{1, "6x5:f32:b0"}, {}, kGradient},
      {OpKind::kGroupCopy, GroupAttrs{RankGroup::kTensor, 4}, {sample({3, 5})}, {}},
      {OpKind::kGroupCopy, GroupAttrs{RankGroup::kTensor, 4}, {fixed({5})}, {}},
      {OpKind::kGroupAllReduce, GroupAttrs{RankGroup::kTensor, 4}, {sample({3, 5})}, {}},
      {OpKind::kGroupAllGather, GroupAttrs{RankGroup::kTensor, 4, 1}, {sample({3, 5})}, {}},
      {OpKind::kGroupAllGather,
       GroupAttrs{RankGroup::kTensor, 4, 0, 0, true},
       {sample({3, 5})},
       {}},
      {OpKind::kGroupReduceScatter, GroupAttrs{RankGroup::kData, 3, 0}, {sample({3, 5})}, {}},
      {OpKind::kGroupAllToAll, GroupAttrs{RankGroup::kContext, 3, 1, 0}, {sample({3, 5})}, {}},
      {OpKind::kGroupPart, GroupAttrs{RankGroup::kContext, 3, 0}, {sample({3, 5})}, {}},
      {OpKind::kGroupPart, GroupAttrs{RankGroup::kTensor, 5, 1, 0, true}, {sample({3, 5})}, {}},
      {OpKind::kGroupPlace, GroupAttrs{RankGroup::kContext, 3, 0}, {sample({3, 5})}, {}},
      {OpKind::kGroupFirst, GroupAttrs{RankGroup::kTensor, 4}, {fixed({5})}, {}},
  };
}

namespace {

void add_case(GraphBuilder& builder, const OpCase& op_case) {
  std::vector<TensorId> inputs, updates;
  for (std::size_t i = 0; i < op_case.inputs.size(); ++i) {
    const TensorType& type = op_case.inputs[i];
    const std::string index = std::to_string(i);
    if (type.batch_multiple == 0) {
      inputs.push_back(builder.tensor("p" + index, TensorRole::kParameter, type));
    } else if (!is_floating(type.dtype)) {
      inputs.push_back(builder.tensor("i" + index, TensorRole::kInput, type));
    } else {
      inputs.push_back(builder.tensor("x" + index, TensorRole::kActivation, type));
    }
  }
  for (std::size_t i = 0; i < op_case.updates.size(); ++i) {
    updates.push_back(
        builder.tensor("u" + std::to_string(i), TensorRole::kBuffer, op_case.updates[i]));
  }
  builder.op("node", op_case.kind, OpPass::kForward, op_case.attrs, std::move(inputs),
             std::move(updates));
}

}  // namespace

Graph graph_of(const OpCase& op_case) {
  GraphBuilder builder;
  add_case(builder, op_case);
  auto graph = std::move(builder).build();
  return graph ? *graph : Graph();
}

std::vector<bool> differentiable_inputs(const OpCase& op_case) {
  std::vector<bool> wanted;
  for (std::size_t i = 0; i < op_case.inputs.size(); ++i) {
    wanted.push_back(is_floating(op_case.inputs[i].dtype) && !(is_loss(op_case.kind) && i > 0));
  }
  return wanted;
}

std::vector<bool> differentiable_outputs(const OpCase& op_case) {
  const auto outputs = infer(op_case.kind, op_case.attrs, op_case.inputs);
  std::vector<bool> arriving(outputs.size(), op_case.kind == OpKind::kSplit);
  if (!arriving.empty()) arriving[0] = !is_loss(op_case.kind);
  return arriving;
}

Result<DifferentiatedCase> differentiate_case(const OpCase& op_case) {
  return differentiate_case(op_case, differentiable_inputs(op_case),
                            differentiable_outputs(op_case));
}

Result<DifferentiatedCase> differentiate_case(const OpCase& op_case,
                                              const std::vector<bool>& wanted,
                                              const std::vector<bool>& arriving) {
  const Graph forward = graph_of(op_case);
  GraphBuilder builder(forward);
  const Op& op = forward.ops().at(0);
  std::vector<std::optional<TensorId>> incoming(op.outputs.size());
  for (std::size_t i = 0; i < incoming.size(); ++i) {
    if (!arriving[i]) continue;
    incoming[i] = builder.tensor("dy" + std::to_string(i), TensorRole::kActivation,
                                 forward.tensor(op.outputs[i]).type);
  }
  PLUTO_ASSIGN(auto gradients, schema_of(op.kind).gradient(op, incoming, wanted, builder));
  PLUTO_ASSIGN(Graph graph, std::move(builder).build());
  return DifferentiatedCase{std::move(graph), forward.ops().size(), std::move(gradients)};
}

}  // namespace pluto
