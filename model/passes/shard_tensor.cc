#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "model/passes/shard.h"
#include "model/passes/shard_blocks.h"
#include "model/passes/shard_vocabulary.h"

namespace pluto {
namespace {

bool is_norm(OpKind kind) { return kind == OpKind::kLayerNorm || kind == OpKind::kRmsNorm; }

bool is_row_wise(OpKind kind) {
  return is_norm(kind) || is_element_wise(kind) || kind == OpKind::kAdd || kind == OpKind::kMul;
}

/// The attributes of an inner node for its part of the features.
OpAttrs part_of(const Op& op, const TensorBlocks& blocks, int ranks) {
  OpAttrs attrs = op.attrs;
  if (auto* split = std::get_if<SplitAttrs>(&attrs)) {
    for (std::int64_t& size : split->sizes) size /= ranks;
  } else if (auto* attention = std::get_if<AttentionAttrs>(&attrs)) {
    attention->heads /= ranks;
    attention->kv_heads /= ranks;
  } else if (auto* rotary = std::get_if<RotaryAttrs>(&attrs)) {
    rotary->heads /= ranks;
  } else if (auto* reshape = std::get_if<ReshapeAttrs>(&attrs)) {
    reshape->dims[static_cast<std::size_t>(blocks.tensors.at(op.outputs[0]).axis)] /= ranks;
  }
  return attrs;
}

/// Writes the model of one tensor rank. A tensor outside blocks is whole on every rank, or with
/// sequence parallelism a part of the sequence.
class TensorSharding {
 public:
  TensorSharding(const ModelGraph& model, const TensorBlocks& blocks,
                 const std::optional<Vocabulary>& vocabulary, int ranks, bool sequence_parallel)
      : graph_(model.graph),
        blocks_(blocks),
        vocabulary_(vocabulary),
        ranks_(ranks),
        sequence_parallel_(sequence_parallel),
        writer_(model, RankGroup::kTensor, ranks, cuts(blocks, vocabulary)),
        sequence_(model.graph.tensors().size()) {}

  Result<ModelGraph> write(const ModelGraph& model) && {
    for (const Op& op : graph_.ops()) {
      switch (blocks_.role[op.id.index()]) {
        case BlockRole::kOutside:
          if (!of_vocabulary(op)) outside(op);
          break;
        case BlockRole::kColumn:
          begin_column(op);
          break;
        case BlockRole::kInner:
          inner(op);
          break;
        case BlockRole::kRow:
          PLUTO_TRY(end_row(op));
          break;
        case BlockRole::kExperts:
          PLUTO_TRY(experts(op));
          break;
      }
    }
    for (const TensorId id : {model.logits, model.loss}) {
      if (id.valid()) writer_.place(id, whole(id));
    }
    return std::move(writer_).finish();
  }

 private:
  static ParameterCuts cuts(const TensorBlocks& blocks,
                            const std::optional<Vocabulary>& vocabulary) {
    ParameterCuts all = blocks.parameters;
    if (vocabulary) all.insert(vocabulary->parameters.begin(), vocabulary->parameters.end());
    return all;
  }
  const std::string& name_of(TensorId id) const { return graph_.tensor(id).name; }

  /// The whole tensor before a block: the gradients of the ranks are parts of a sum.
  TensorId before_block(TensorId id) {
    if (sequence_[id.index()]) {
      return writer_.exchange(OpKind::kGroupAllGather, name_of(id) + ".gathered", writer_.at(id));
    }
    return writer_.exchange(OpKind::kGroupCopy, name_of(id) + ".copied", writer_.at(id));
  }
  /// The whole tensor for what every rank computes alike.
  TensorId whole(TensorId id) {
    if (!sequence_[id.index()]) return writer_.at(id);
    GroupAttrs attrs;
    attrs.shared = true;
    return writer_.exchange(OpKind::kGroupAllGather, name_of(id) + ".whole", writer_.at(id), attrs);
  }
  TensorId part(TensorId id) {
    if (sequence_[id.index()]) return writer_.at(id);
    GroupAttrs attrs;
    attrs.shared = true;
    return writer_.exchange(OpKind::kGroupPart, name_of(id) + ".part", writer_.at(id), attrs);
  }
  /// A parameter that ranks use on different things.
  TensorId copied(TensorId id) {
    return writer_.exchange(OpKind::kGroupCopy, name_of(id) + ".copied", writer_.at(id));
  }
  TensorId operand(TensorId id) {
    return graph_.tensor(id).role == TensorRole::kParameter ? copied(id) : part(id);
  }

  bool feeds_block(const Op& op) const {
    const auto& readers = graph_.consumers(op.outputs[0]);
    return std::any_of(readers.begin(), readers.end(), [this](OpId id) {
      const BlockRole role = blocks_.role[id.index()];
      return role == BlockRole::kColumn || role == BlockRole::kExperts;
    });
  }

  void outside(const Op& op) {
    bool on_parts = std::any_of(op.inputs.begin(), op.inputs.end(),
                                [this](TensorId id) { return sequence_[id.index()]; });
    on_parts = on_parts || (sequence_parallel_ && is_norm(op.kind) && feeds_block(op) &&
                            divides(graph_.tensor(op.inputs[0])));
    on_parts = on_parts && is_row_wise(op.kind);
    std::vector<TensorId> inputs;
    for (const TensorId id : op.inputs) inputs.push_back(on_parts ? operand(id) : whole(id));
    writer_.append(op, op.attrs, std::move(inputs));
    for (const TensorId id : op.outputs) sequence_[id.index()] = on_parts;
  }

  /// Writes a node of the vocabulary; false: it is none.
  bool of_vocabulary(const Op& op) {
    if (!vocabulary_) return false;
    if (op.id == vocabulary_->head) {
      begin_column(op);
    } else if (op.id == vocabulary_->loss) {
      loss(op);
    } else if (std::ranges::count(vocabulary_->lookups, op.id) > 0) {
      look_up(op);
    } else {
      return false;
    }
    return true;
  }

  /// Rows of other ranks come as zeros: the sum over the ranks is the row.
  void look_up(const Op& op) {
    auto attrs = std::get<EmbeddingAttrs>(op.attrs);
    attrs.rows /= ranks_;
    attrs.part = true;
    writer_.append(op, attrs, {whole(op.inputs[0]), writer_.at(op.inputs[1])});
    const TensorId rows = op.outputs[0];
    writer_.place(rows,
                  writer_.exchange(OpKind::kGroupAllReduce, op.name + ".sum", writer_.at(rows)));
  }

  /// Two numbers per position and rank say what a rank must know of the columns of the others.
  void loss(const Op& op) {
    const std::vector<TensorId> own = writer_.at(op.inputs);
    const TensorId terms =
        writer_.add(OpKind::kSoftmaxTerms, op.name + ".terms", NoAttrs{}, {own[0], own[1]});
    GroupAttrs joined;
    joined.axis = static_cast<std::int64_t>(writer_.type(terms).shape.rank()) - 1;
    joined.shared = true;
    const TensorId all =
        writer_.exchange(OpKind::kGroupAllGather, op.name + ".terms.gathered", terms, joined);
    Op split = op;
    split.kind = OpKind::kSplitCrossEntropy;
    writer_.append(split, NoAttrs{}, {own[0], own[1], all});
  }

  bool divides(const Tensor& tensor) const {
    const Shape& shape = tensor.type.shape;
    return shape.rank() == 2 && shape[0] % ranks_ == 0;
  }

  void begin_column(const Op& op) {
    auto attrs = std::get<LinearAttrs>(op.attrs);
    attrs.out_features /= ranks_;
    std::vector<TensorId> inputs = writer_.at(op.inputs);
    inputs[0] = before_block(op.inputs[0]);
    writer_.append(op, attrs, std::move(inputs));
  }

  void inner(const Op& op) {
    std::vector<TensorId> inputs = writer_.at(op.inputs);
    for (std::size_t i = 1; i < inputs.size() && is_norm(op.kind); ++i) {
      inputs[i] = copied(op.inputs[i]);
    }
    writer_.append(op, part_of(op, blocks_, ranks_), std::move(inputs));
  }

  Result<void> end_row(const Op& op) {
    std::vector<TensorId> inputs = writer_.at(op.inputs);
    if (inputs.size() > 2) {
      inputs[2] =
          writer_.exchange(OpKind::kGroupFirst, name_of(op.inputs[2]) + ".first", inputs[2]);
    }
    writer_.append(op, op.attrs, std::move(inputs));
    return sum(op);
  }

  Result<void> experts(const Op& op) {
    auto attrs = std::get<MoeAttrs>(op.attrs);
    attrs.intermediate /= ranks_;
    std::vector<TensorId> inputs = writer_.at(op.inputs);
    inputs[0] = before_block(op.inputs[0]);
    inputs[1] = copied(op.inputs[1]);
    writer_.append(op, attrs, std::move(inputs));
    return sum(op);
  }

  /// The partial sums of the ranks become the result: whole, or each rank its part of the sequence.
  Result<void> sum(const Op& op) {
    const TensorId result = op.outputs[0];
    if (!sequence_parallel_) {
      writer_.place(
          result, writer_.exchange(OpKind::kGroupAllReduce, op.name + ".sum", writer_.at(result)));
      return {};
    }
    const Tensor& tensor = graph_.tensor(result);
    if (!divides(tensor)) {
      return unsupported(
          fmt::format("node {} ({}): sequence_parallel splits (sequence, features) by positions, "
                      "but {} ranks cannot split {}",
                      op.name, to_text(op.kind), ranks_, to_text(tensor.type.shape)),
          "sequence_parallel: false");
    }
    writer_.place(result, writer_.exchange(OpKind::kGroupReduceScatter, op.name + ".sum",
                                           writer_.at(result)));
    sequence_[result.index()] = true;
    return {};
  }

  const Graph& graph_;
  const TensorBlocks& blocks_;
  const std::optional<Vocabulary>& vocabulary_;
  int ranks_;
  bool sequence_parallel_;
  ShardWriter writer_;
  std::vector<bool> sequence_;  // by source TensorId: a part of the sequence
};

}  // namespace

Result<ModelGraph> shard_tensor(const ModelGraph& model, int ranks, bool sequence_parallel) {
  if (ranks == 1) return model;
  PLUTO_ASSIGN(const TensorBlocks blocks, find_tensor_blocks(model, ranks));
  const auto vocabulary = find_vocabulary(model, blocks, ranks);
  return TensorSharding(model, blocks, vocabulary, ranks, sequence_parallel).write(model);
}

}  // namespace pluto
