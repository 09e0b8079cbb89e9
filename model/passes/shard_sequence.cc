#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "model/passes/shard.h"
#include "model/passes/shard_writer.h"

namespace pluto {
namespace {

/// The positions of the model's attention; nullopt: it has none.
std::optional<std::int64_t> sequence_length(const Graph& graph) {
  for (const Op& op : graph.ops()) {
    if (op.kind == OpKind::kAttention) return graph.tensor(op.inputs[0]).type.shape[0];
  }
  return std::nullopt;
}

/// Whether the node treats positions apart: what it makes of a part of them is that part of the
/// whole. Rotary and position_add know the place of the part.
bool treats_positions_apart(const Graph& graph, const Op& op) {
  const auto rank = [&](TensorId id) {
    return static_cast<std::int64_t>(graph.tensor(id).type.shape.rank());
  };
  switch (op.kind) {
    case OpKind::kLinear:
    case OpKind::kLayerNorm:
    case OpKind::kRmsNorm:
    case OpKind::kSoftmax:
      return rank(op.inputs[0]) >= 2;
    case OpKind::kMoeFfn:
    case OpKind::kEmbedding:
    case OpKind::kPositionAdd:
    case OpKind::kRotary:
    case OpKind::kAttention:
    case OpKind::kAdd:
    case OpKind::kMul:
    case OpKind::kCast:
    case OpKind::kSoftmaxCrossEntropy:
    case OpKind::kBceWithLogits:
    case OpKind::kMse:
      return true;
    case OpKind::kSplit:
      return std::get<SplitAttrs>(op.attrs).axis != 0;
    case OpKind::kSlice:
      return std::get<SliceAttrs>(op.attrs).axis != 0;
    case OpKind::kConcat:
      return std::get<AxisAttrs>(op.attrs).axis != 0;
    case OpKind::kReshape:
      return graph.tensor(op.outputs[0]).type.shape.rank() > 0 &&
             graph.tensor(op.outputs[0]).type.shape[0] == graph.tensor(op.inputs[0]).type.shape[0];
    default:
      return is_element_wise(op.kind);
  }
}

class SequenceSharding {
 public:
  SequenceSharding(const ModelGraph& model, int ranks, std::int64_t length)
      : graph_(model.graph),
        ranks_(ranks),
        length_(length),
        writer_(model, RankGroup::kContext, ranks, {}),
        part_(model.graph.tensors().size()) {}

  Result<ModelGraph> write(const ModelGraph& model) && {
    for (const Tensor& tensor : graph_.tensors()) {
      if (tensor.role != TensorRole::kInput || !has_positions(tensor)) continue;
      writer_.place(tensor.id, writer_.exchange(OpKind::kGroupPart, tensor.name + ".part",
                                                writer_.at(tensor.id)));
      part_[tensor.id.index()] = true;
    }
    for (const Op& op : graph_.ops()) PLUTO_TRY(write(op));
    PLUTO_ASSIGN(ModelGraph one, std::move(writer_).finish());
    // The data source delivers whole samples.
    const auto whole = [&](TensorId id) {
      return *one.graph.find_tensor(model.graph.tensor(id).name);
    };
    for (std::size_t i = 0; i < model.inputs.size(); ++i) one.inputs[i] = whole(model.inputs[i]);
    if (model.labels.valid()) one.labels = whole(model.labels);
    return one;
  }

 private:
  bool has_positions(const Tensor& tensor) const {
    return tensor.type.shape.rank() > 0 && tensor.type.shape[0] == length_;
  }

  Result<void> write(const Op& op) {
    std::size_t parts = 0, activations = 0;
    for (const TensorId id : op.inputs) {
      const bool batched = graph_.tensor(id).type.batch_multiple != 0;
      activations += batched ? 1U : 0U;
      parts += part_[id.index()] ? 1U : 0U;
    }
    if (parts == 0) {
      writer_.append(op);
      return {};
    }
    if (parts != activations || !treats_positions_apart(graph_, op)) {
      return unsupported(fmt::format("node {} ({}) needs all positions of the sequence", op.name,
                                     to_text(op.kind)),
                         "layout.context: 1");
    }
    OpAttrs attrs = op.attrs;
    std::vector<TensorId> inputs = writer_.at(op.inputs);
    if (op.kind == OpKind::kAttention) {
      for (const std::size_t i : {1, 2}) {
        inputs[i] = writer_.exchange(OpKind::kGroupAllGather,
                                     graph_.tensor(op.inputs[i]).name + ".positions", inputs[i]);
      }
    } else if (auto* reshape = std::get_if<ReshapeAttrs>(&attrs)) {
      reshape->dims[0] /= ranks_;
    }
    writer_.append(op, std::move(attrs), std::move(inputs));
    for (const TensorId id : op.outputs) {
      part_[id.index()] = graph_.tensor(id).type.batch_multiple != 0;
    }
    return {};
  }

  const Graph& graph_;
  int ranks_;
  std::int64_t length_;
  ShardWriter writer_;
  std::vector<bool> part_;  // by source TensorId: a part of the positions
};

}  // namespace

Result<ModelGraph> shard_sequence(const ModelGraph& model, int ranks) {
  if (ranks == 1) return model;
  const auto length = sequence_length(model.graph);
  if (!length) {
    return unsupported(
        fmt::format("model {} has no attention, so {} context ranks have no sequence to split",
                    model.name, ranks),
        "layout.context: 1");
  }
  if (*length % ranks != 0) {
    return unsupported(fmt::format("a sequence of {} positions is no multiple of {} context ranks",
                                   *length, ranks),
                       "choose a layout.context that divides it");
  }
  return SequenceSharding(model, ranks, *length).write(model);
}

}  // namespace pluto
