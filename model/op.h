#pragma once
// The vocabulary of the graph: op kinds and passes.
// The operand order of every kind and pass is the table in docs/operators.md; schemas, kernels and
// passes all follow it.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "model/op_attrs.h"

namespace pluto {

// clang-format off
enum class OpKind : std::uint8_t {
  // dense
  kConv2d, kLinear, kMatMul, kMoeFfn,
  // pooling
  kMaxPool, kAvgPool, kGlobalAvgPool,
  // normalisation
  kBatchNorm, kLrn, kLayerNorm, kRmsNorm,
  // element-wise
  kRelu, kGelu, kSilu, kSigmoid, kTanh, kDropout, kAdd, kMul, kPositionAdd,
  // shape
  kConcat, kSplit, kSlice, kReshape, kTranspose,
  // attention and sequences
  kSoftmax, kAttention, kRotary, kLstm, kGru,
  // look-ups and recommender
  kEmbedding, kEmbeddingBag, kCosineSimilarity,
  // losses
  kSoftmaxCrossEntropy, kBceWithLogits, kMse, kSoftmaxTerms, kSplitCrossEntropy,
  // made by passes
  kCast, kAccumulate, kSgd, kAdam, kAllReduce, kServerPush, kServerPull, kFactorGather,
  kFactorPush, kPack, kUnpack, kReduceScatter, kParameterGather, kAverage,
  // between pipeline stages
  kSend, kReceive, kStageReduce,
  // between the ranks that split one model
  kGroupCopy, kGroupAllReduce, kGroupAllGather, kGroupReduceScatter, kGroupAllToAll, kGroupPart, kGroupPlace,
  kGroupFirst,
};
// clang-format on
constexpr std::size_t kOpKindCount = static_cast<std::size_t>(OpKind::kGroupFirst) + 1;
const char* to_text(OpKind kind);  ///< "conv2d", "softmax_cross_entropy", ...
Result<OpKind> parse_op_kind(std::string_view text);

/// "tensor", "context", "data", "expert"
const char* to_text(RankGroup group);
Result<RankGroup> parse_rank_group(std::string_view text);

/// Which computation of a kind a node is. Dense kinds have two backward nodes, so that a weight
/// gradient can leave while the data gradient is computed; the others have one.
enum class OpPass : std::uint8_t { kForward, kBackward, kBackwardData, kBackwardWeight };
const char* to_text(OpPass pass);  ///< "forward", "backward", "backward_data", "backward_weight"
Result<OpPass> parse_op_pass(std::string_view text);

/// The attributes a kind has, with their defaults.
OpAttrs default_attrs(OpKind kind);
/// "kernel_h=3 kernel_w=3 stride_h=1 ...": every field, in order; empty for NoAttrs.
std::string to_text(const OpAttrs& attrs);
/// Reverse of to_text for the attributes of `kind`. Errors: kInvalidInput naming the field.
Result<OpAttrs> parse_attrs(OpKind kind, std::string_view text);

}  // namespace pluto
