#include "model/passes/shard_blocks.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <unordered_set>

namespace pluto {
namespace {

std::int64_t last_axis(const Tensor& tensor) {
  return static_cast<std::int64_t>(tensor.type.shape.rank()) - 1;
}

bool is_norm(OpKind kind) { return kind == OpKind::kLayerNorm || kind == OpKind::kRmsNorm; }

bool is_inner(const Op& op) {
  switch (op.kind) {
    case OpKind::kAdd:
    case OpKind::kMul:
    case OpKind::kSplit:
    case OpKind::kAttention:
    case OpKind::kRotary:
    case OpKind::kReshape:
    case OpKind::kLayerNorm:
    case OpKind::kRmsNorm:
    case OpKind::kGroupAllGather:  // of positions
      return true;
    default:
      return is_element_wise(op.kind);
  }
}

/// The axis of a reshaped tensor whose parts are the parts of `axis` before; nullopt: none.
std::optional<std::int64_t> reshaped_axis(const Shape& from, std::int64_t axis, const Shape& to) {
  std::int64_t before = 1;
  for (std::int64_t i = 0; i < axis; ++i) before *= from[static_cast<std::size_t>(i)];
  std::int64_t passed = 1;
  for (std::size_t i = 0; i < to.rank(); ++i) {
    if (passed == before && to[i] > 1) return static_cast<std::int64_t>(i);
    passed *= to[i];
  }
  return std::nullopt;
}

/// One block as it grows from a linear layer.
class Block {
 public:
  Block(const ModelGraph& model, int ranks, const std::vector<BlockRole>& taken)
      : model_(model), graph_(model.graph), ranks_(ranks), taken_(taken) {}

  /// Why the block that begins with `first` cannot be split; nullopt: it can.
  std::optional<std::string> grow(const Op& first) {
    begin_with(first);
    while (!open_.empty() && !problem_) {
      const TensorId tensor = open_.back();
      open_.pop_back();
      if (tensor == model_.logits || tensor == model_.loss) {
        fail(fmt::format("{} is the model's answer", graph_.tensor(tensor).name));
      }
      for (const OpId consumer : graph_.consumers(tensor)) follow(graph_.op(consumer), tensor);
    }
    if (!problem_ && rows_ == 0) fail("no linear layer ends the block");
    return problem_;
  }

  /// Cuts of everything inside. Errors: kUnsupported where ranks do not divide.
  Result<void> cut(TensorBlocks& blocks) const {
    for (const OpId id : ops_) PLUTO_TRY(cut(graph_.op(id), blocks));
    for (const OpId id : ops_) blocks.role[id.index()] = roles_.at(id);
    return {};
  }

 private:
  void fail(std::string why) {
    if (!problem_) problem_ = std::move(why);
  }
  void add(const Op& op, BlockRole role) {
    ops_.insert(op.id);
    roles_[op.id] = role;
  }
  bool taken(const Op& op) const { return taken_[op.id.index()] != BlockRole::kOutside; }

  /// Weight and bias of a linear layer can be cut when no other node reads them.
  bool owns_parameters(const Op& op) const {
    return std::all_of(op.inputs.begin() + 1, op.inputs.end(), [&](TensorId id) {
      return graph_.tensor(id).role == TensorRole::kParameter && readers_of(graph_, id) == 1;
    });
  }

  void begin_with(const Op& op) {
    if (ops_.contains(op.id)) {
      if (roles_.at(op.id) != BlockRole::kColumn) fail(fmt::format("{} is its own end", op.name));
      return;
    }
    if (taken(op)) return fail(fmt::format("{} is part of another block", op.name));
    if (!owns_parameters(op))
      return fail(fmt::format("other nodes read the weight of {}", op.name));
    add(op, BlockRole::kColumn);
    reach(op.outputs[0]);
  }

  /// The tensor is inside: its readers are next.
  void reach(TensorId tensor) {
    if (inside_.insert(tensor).second) open_.push_back(tensor);
  }

  /// An operand that meets a part must be a part itself: back to where it begins.
  void require(TensorId tensor, const Op& reader) {
    if (inside_.contains(tensor)) return;
    const auto producer = graph_.tensor(tensor).producer;
    if (!producer) {
      return fail(fmt::format("{} ({}) also reads {}", reader.name, to_text(reader.kind),
                              graph_.tensor(tensor).name));
    }
    const Op& op = graph_.op(*producer);
    if (op.kind == OpKind::kLinear) return begin_with(op);
    follow(op, op.inputs[0]);
    if (!problem_ && !inside_.contains(tensor)) {
      fail(fmt::format("{} ({}) also reads {}", reader.name, to_text(reader.kind),
                       graph_.tensor(tensor).name));
    }
  }

  void follow(const Op& op, TensorId through) {
    if (problem_ || ops_.contains(op.id)) return;
    if (taken(op)) return fail(fmt::format("{} is part of another block", op.name));
    if (op.kind == OpKind::kLinear && op.inputs[0] == through) {
      if (!owns_parameters(op)) {
        return fail(fmt::format("other nodes read the weight of {}", op.name));
      }
      add(op, BlockRole::kRow);
      ++rows_;
      return;
    }
    const auto* split = std::get_if<SplitAttrs>(&op.attrs);
    const bool other_axis =
        split != nullptr && split->axis != last_axis(graph_.tensor(op.inputs[0]));
    if (!is_inner(op) || other_axis) {
      return fail(fmt::format("{} ({}) needs all features", op.name, to_text(op.kind)));
    }
    add(op, BlockRole::kInner);
    const std::size_t activations = is_norm(op.kind) ? 1 : op.inputs.size();
    for (std::size_t i = 0; i < activations; ++i) require(op.inputs[i], op);
    // Statistics and lse are for backward nodes.
    const std::size_t results = op.kind == OpKind::kSplit ? op.outputs.size() : 1;
    for (std::size_t i = 0; i < results; ++i) reach(op.outputs[i]);
  }

  /// The lengths that a split behind the column layer gives its features; one piece without one.
  std::vector<std::int64_t> pieces_of(TensorId features) const {
    for (const OpId consumer : graph_.consumers(features)) {
      const Op& op = graph_.op(consumer);
      if (const auto* split = std::get_if<SplitAttrs>(&op.attrs)) return split->sizes;
      if (is_element_wise(op.kind)) return pieces_of(op.outputs[0]);
    }
    return {graph_.tensor(features).type.shape.dims.back()};
  }

  Error uneven(const Op& op, const std::string& what) const {
    return unsupported(fmt::format("node {} ({}): {} are no multiple of {} tensor ranks", op.name,
                                   to_text(op.kind), what, ranks_),
                       "choose a layout.tensor that divides them");
  }
  Error apart(const Op& op, const char* why) const {
    return unsupported(fmt::format("node {} ({}): {}", op.name, to_text(op.kind), why),
                       "layout.tensor: 1");
  }

  Result<void> cut(const Op& op, TensorBlocks& blocks) const {
    const auto& attrs = op.attrs;
    if (roles_.at(op.id) == BlockRole::kColumn) {
      const ParameterCut features{last_axis(graph_.tensor(op.outputs[0])),
                                  pieces_of(op.outputs[0])};
      for (const std::int64_t piece : features.pieces) {
        if (piece % ranks_ != 0) return uneven(op, fmt::format("{} features", piece));
      }
      for (std::size_t i = 1; i < op.inputs.size(); ++i) {
        blocks.parameters[op.inputs[i]] = {0, features.pieces};
      }
      blocks.tensors[op.outputs[0]] = features;
      return {};
    }
    const ParameterCut in = blocks.tensors.at(op.inputs[0]);
    const bool by_features = in.axis == last_axis(graph_.tensor(op.inputs[0]));
    if (roles_.at(op.id) == BlockRole::kRow) {
      if (!by_features) return apart(op, "its input is cut along another axis than features");
      blocks.parameters[op.inputs[1]] = {1, in.pieces};
      return {};
    }
    ParameterCut out = in;
    if (is_norm(op.kind)) {
      if (by_features) return apart(op, "it needs all features");
    } else if (const auto* split = std::get_if<SplitAttrs>(&attrs)) {
      if (in.pieces != split->sizes) return apart(op, "it cuts parts of ranks");
      for (std::size_t i = 0; i < op.outputs.size(); ++i) {
        blocks.tensors[op.outputs[i]] = {in.axis, {split->sizes[i]}};
      }
      return {};
    } else if (op.kind == OpKind::kAdd || op.kind == OpKind::kMul) {
      const ParameterCut& other = blocks.tensors.at(op.inputs[1]);
      if (other.axis != in.axis || other.pieces != in.pieces) {
        return apart(op, "its operands are cut in different ways");
      }
    } else if (in.pieces.size() != 1 && !is_element_wise(op.kind)) {
      return apart(op, "its input is several pieces");
    } else if (const auto* attention = std::get_if<AttentionAttrs>(&attrs)) {
      if (attention->heads % ranks_ != 0)
        return uneven(op, fmt::format("{} heads", attention->heads));
      if (attention->kv_heads % ranks_ != 0) {
        return uneven(op, fmt::format("{} key/value heads", attention->kv_heads));
      }
    } else if (const auto* rotary = std::get_if<RotaryAttrs>(&attrs)) {
      if (rotary->heads % ranks_ != 0) return uneven(op, fmt::format("{} heads", rotary->heads));
    } else if (op.kind == OpKind::kReshape) {
      const Shape& to = graph_.tensor(op.outputs[0]).type.shape;
      const auto axis = reshaped_axis(graph_.tensor(op.inputs[0]).type.shape, in.axis, to);
      if (!axis) return apart(op, "it mixes the features of several rows");
      out = {*axis, {to[static_cast<std::size_t>(*axis)]}};
      if (out.pieces[0] % ranks_ != 0) return uneven(op, fmt::format("{} heads", out.pieces[0]));
    }
    blocks.tensors[op.outputs[0]] = out;
    return {};
  }

  const ModelGraph& model_;
  const Graph& graph_;
  int ranks_;
  const std::vector<BlockRole>& taken_;
  std::set<OpId> ops_;  // in id order, which is topological
  std::unordered_map<OpId, BlockRole> roles_;
  std::unordered_set<TensorId> inside_;
  std::vector<TensorId> open_;  // inside, readers not looked at
  int rows_ = 0;
  std::optional<std::string> problem_;
};

}  // namespace

Result<TensorBlocks> find_tensor_blocks(const ModelGraph& model, int ranks) {
  TensorBlocks blocks;
  blocks.role.assign(model.graph.ops().size(), BlockRole::kOutside);
  std::optional<std::string> first_problem;
  for (const Op& op : model.graph.ops()) {
    if (blocks.role[op.id.index()] != BlockRole::kOutside) continue;
    if (const auto* experts = std::get_if<MoeAttrs>(&op.attrs)) {
      if (experts->intermediate % ranks != 0) {
        return unsupported(
            fmt::format("node {} (moe_ffn): {} inner features are no multiple of {} tensor ranks",
                        op.name, experts->intermediate, ranks),
            "choose a layout.tensor that divides them");
      }
      blocks.role[op.id.index()] = BlockRole::kExperts;
      blocks.parameters[op.inputs[2]] = {1, {experts->intermediate}};
      blocks.parameters[op.inputs[3]] = {1, {experts->intermediate}};
      blocks.parameters[op.inputs[4]] = {2, {experts->intermediate}};
      continue;
    }
    if (op.kind != OpKind::kLinear) continue;
    Block block(model, ranks, blocks.role);
    if (const auto problem = block.grow(op)) {
      if (!first_problem) first_problem = fmt::format("layer {}: {}", op.name, *problem);
      continue;
    }
    PLUTO_TRY(block.cut(blocks));
  }
  if (!blocks.empty()) return blocks;
  return unsupported(
      fmt::format("model {} has nothing that {} tensor ranks can split: {}", model.name, ranks,
                  first_problem.value_or("it has no linear layer")),
      "layout.tensor: 1");
}

}  // namespace pluto
