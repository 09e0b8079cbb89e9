#include "model/op.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <limits>
#include <type_traits>

#include "base/text.h"

namespace pluto {
namespace {

constexpr std::array<const char*, kOpKindCount> kKindNames = {"conv2d",
                                                              "linear",
                                                              "matmul",
                                                              "moe_ffn",
                                                              "max_pool",
                                                              "avg_pool",
                                                              "global_avg_pool",
                                                              "batch_norm",
                                                              "lrn",
                                                              "layer_norm",
                                                              "rms_norm",
                                                              "relu",
                                                              "gelu",
                                                              "silu",
                                                              "sigmoid",
                                                              "tanh",
                                                              "dropout",
                                                              "add",
                                                              "mul",
                                                              "position_add",
                                                              "concat",
                                                              "split",
                                                              "slice",
                                                              "reshape",
                                                              "transpose",
                                                              "softmax",
                                                              "attention",
                                                              "rotary",
                                                              "lstm",
                                                              "gru",
                                                              "embedding",
                                                              "embedding_bag",
                                                              "cosine_similarity",
                                                              "softmax_cross_entropy",
                                                              "bce_with_logits",
                                                              "mse",
                                                              "softmax_terms",
                                                              "split_cross_entropy",
                                                              "cast",
                                                              "accumulate",
                                                              "sgd",
                                                              "adam",
                                                              "all_reduce",
                                                              "server_push",
                                                              "server_pull",
                                                              "factor_gather",
                                                              "factor_push",
                                                              "pack",
                                                              "unpack",
                                                              "reduce_scatter",
                                                              "parameter_gather",
                                                              "average",
                                                              "send",
                                                              "receive",
                                                              "stage_reduce",
                                                              "group_copy",
                                                              "group_all_reduce",
                                                              "group_all_gather",
                                                              "group_reduce_scatter",
                                                              "group_all_to_all",
                                                              "group_part",
                                                              "group_place",
                                                              "group_first"};

constexpr std::array<const char*, 4> kPassNames = {"forward", "backward", "backward_data",
                                                   "backward_weight"};

constexpr std::array<const char*, 4> kGroupNames = {"tensor", "context", "data", "expert"};

std::string write(RankGroup value) { return to_text(value); }
std::string write(Activation value) { return to_text(value); }
std::string write(std::int64_t value) { return fmt::format("{}", value); }
std::string write(bool value) { return value ? "1" : "0"; }
std::string write(const std::string& value) { return value; }
std::string write(const std::vector<std::int64_t>& value) {
  return fmt::format("{}", fmt::join(value, ","));
}
// std::to_chars without precision is the shortest text that reads back as the same double.
std::string write(double value) {
  std::array<char, 32> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  return {buffer.data(), end};
}

bool read(std::string_view text, RankGroup& value) {
  const auto group = parse_rank_group(text);
  if (group) value = *group;
  return group.ok();
}
bool read(std::string_view text, Activation& value) {
  const auto activation = parse_activation(text);
  if (activation) value = *activation;
  return activation.ok();
}
bool read(std::string_view text, std::int64_t& value) {
  const auto number = parse_integer(text);
  if (number) value = *number;
  return number.has_value();
}
bool read(std::string_view text, bool& value) {
  value = text == "1";
  return text == "1" || text == "0";
}
bool read(std::string_view text, double& value) {
  const auto number = parse_number(text);
  if (number) value = *number;
  return number.has_value();
}
bool read(std::string_view text, std::string& value) {
  value = text;
  return !text.empty();
}
bool read(std::string_view text, std::vector<std::int64_t>& value) {
  value.clear();
  if (text.empty()) return true;
  for (const std::string& piece : split(text, ',')) {
    const auto number = parse_integer(piece);
    if (!number) return false;
    value.push_back(*number);
  }
  return true;
}

}  // namespace

const char* to_text(OpKind kind) { return kKindNames[static_cast<std::size_t>(kind)]; }

Result<OpKind> parse_op_kind(std::string_view text) {
  for (std::size_t i = 0; i < kKindNames.size(); ++i) {
    if (text == kKindNames[i]) return static_cast<OpKind>(i);
  }
  const auto nearest = nearest_word(text, {kKindNames.begin(), kKindNames.end()});
  return invalid_input(fmt::format("unknown op kind '{}'", text),
                       nearest ? fmt::format("did you mean '{}'?", *nearest) : std::string());
}

const char* to_text(RankGroup group) { return kGroupNames[static_cast<std::size_t>(group)]; }

Result<RankGroup> parse_rank_group(std::string_view text) {
  for (std::size_t i = 0; i < kGroupNames.size(); ++i) {
    if (text == kGroupNames[i]) return static_cast<RankGroup>(i);
  }
  return invalid_input(fmt::format("unknown group of ranks '{}'", text),
                       "groups: tensor, context, data, expert");
}

const char* to_text(OpPass pass) { return kPassNames[static_cast<std::size_t>(pass)]; }

Result<OpPass> parse_op_pass(std::string_view text) {
  for (std::size_t i = 0; i < kPassNames.size(); ++i) {
    if (text == kPassNames[i]) return static_cast<OpPass>(i);
  }
  return invalid_input(fmt::format("unknown pass '{}'", text),
                       "passes: forward, backward, backward_data, backward_weight");
}

OpAttrs default_attrs(OpKind kind) {
  switch (kind) {
    case OpKind::kConv2d:
      return ConvAttrs{};
    case OpKind::kLinear:
      return LinearAttrs{};
    case OpKind::kMatMul:
      return MatMulAttrs{};
    case OpKind::kMoeFfn:
      return MoeAttrs{};
    case OpKind::kMaxPool:
    case OpKind::kAvgPool:
      return PoolAttrs{};
    case OpKind::kBatchNorm:
      return BatchNormAttrs{};
    case OpKind::kLrn:
      return LrnAttrs{};
    case OpKind::kLayerNorm:
    case OpKind::kRmsNorm:
      return NormAttrs{};
    case OpKind::kDropout:
      return DropoutAttrs{};
    case OpKind::kAdd:
      return AddAttrs{};
    case OpKind::kConcat:
      return AxisAttrs{};
    case OpKind::kSplit:
      return SplitAttrs{};
    case OpKind::kSlice:
      return SliceAttrs{};
    case OpKind::kReshape:
      return ReshapeAttrs{};
    case OpKind::kTranspose:
      return TransposeAttrs{};
    case OpKind::kAttention:
      return AttentionAttrs{};
    case OpKind::kRotary:
      return RotaryAttrs{};
    case OpKind::kLstm:
    case OpKind::kGru:
      return RecurrentAttrs{};
    case OpKind::kEmbedding:
    case OpKind::kEmbeddingBag:
      return EmbeddingAttrs{};
    case OpKind::kCosineSimilarity:
      return ScaleAttrs{};
    case OpKind::kCast:
      return CastAttrs{};
    case OpKind::kSgd:
      return SgdAttrs{};
    case OpKind::kAdam:
      return AdamAttrs{};
    case OpKind::kAllReduce:
    case OpKind::kServerPush:
    case OpKind::kServerPull:
    case OpKind::kFactorGather:
    case OpKind::kFactorPush:
    case OpKind::kReduceScatter:
    case OpKind::kParameterGather:
      return CommAttrs{};
    case OpKind::kPack:
    case OpKind::kUnpack:
      return WireAttrs{};
    case OpKind::kAverage:
      return AverageAttrs{};
    case OpKind::kSend:
    case OpKind::kReceive:
    case OpKind::kStageReduce:
      return StageAttrs{};
    case OpKind::kGroupCopy:
    case OpKind::kGroupAllReduce:
    case OpKind::kGroupAllGather:
    case OpKind::kGroupReduceScatter:
    case OpKind::kGroupAllToAll:
    case OpKind::kGroupPart:
    case OpKind::kGroupPlace:
    case OpKind::kGroupFirst:
      return GroupAttrs{};
    case OpKind::kGlobalAvgPool:
    case OpKind::kRelu:
    case OpKind::kGelu:
    case OpKind::kSilu:
    case OpKind::kSigmoid:
    case OpKind::kTanh:
    case OpKind::kMul:
    case OpKind::kPositionAdd:
    case OpKind::kSoftmax:
    case OpKind::kSoftmaxCrossEntropy:
    case OpKind::kBceWithLogits:
    case OpKind::kMse:
    case OpKind::kSoftmaxTerms:
    case OpKind::kSplitCrossEntropy:
    case OpKind::kAccumulate:
      return NoAttrs{};
  }
  return NoAttrs{};
}

std::string to_text(const OpAttrs& attrs) {
  std::string text;
  const auto append = [&text](const char* name, auto& field, bool optional = false) {
    if (optional && field == std::remove_cvref_t<decltype(field)>{}) return;
    text += fmt::format("{}{}={}", text.empty() ? "" : " ", name, write(field));
  };
  std::visit([&append](auto fields) { fields.visit(append); }, attrs);
  return text;
}

Result<OpAttrs> parse_attrs(OpKind kind, std::string_view text) {
  const auto failure = [kind](const std::string& what) {
    return invalid_input(fmt::format("attributes of {}: {}", to_text(kind), what));
  };
  std::vector<std::pair<std::string, std::string>> pairs;
  if (!text.empty()) {
    for (const std::string& piece : split(text, ' ')) {
      const std::size_t equals = piece.find('=');
      if (equals == std::string::npos) return failure(fmt::format("'{}' is no name=value", piece));
      pairs.emplace_back(piece.substr(0, equals), piece.substr(equals + 1));
    }
  }
  OpAttrs attrs = default_attrs(kind);
  std::size_t used = 0;
  std::string problem;
  const auto take = [&](const char* name, auto& field, bool optional = false) {
    if (!problem.empty()) return;
    if (optional && (used == pairs.size() || pairs[used].first != name)) return;
    if (used == pairs.size()) {
      problem = fmt::format("{} is missing", name);
    } else if (pairs[used].first != name) {
      problem = fmt::format("'{}' where {} was expected", pairs[used].first, name);
    } else if (!read(pairs[used].second, field)) {
      problem = fmt::format("{}: cannot read '{}'", name, pairs[used].second);
    }
    ++used;
  };
  std::visit([&take](auto& fields) { fields.visit(take); }, attrs);
  if (!problem.empty()) return failure(problem);
  if (used != pairs.size()) return failure(fmt::format("unknown field '{}'", pairs[used].first));
  return attrs;
}

}  // namespace pluto
