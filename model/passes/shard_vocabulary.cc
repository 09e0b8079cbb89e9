#include "model/passes/shard_vocabulary.h"

#include <algorithm>

namespace pluto {
namespace {

/// The linear layer whose result the loss alone reads; nullptr: something else is there.
const Op* head_of(const ModelGraph& model, const Op& loss) {
  const Graph& graph = model.graph;
  const Tensor& logits = graph.tensor(loss.inputs[0]);
  if (!logits.producer || graph.consumers(logits.id).size() != 1) return nullptr;
  const Op& head = graph.op(*logits.producer);
  return head.kind == OpKind::kLinear ? &head : nullptr;
}

bool is_parameter(const Graph& graph, TensorId id) {
  return graph.tensor(id).role == TensorRole::kParameter;
}

/// Whether the head and look-ups alone read the table.
bool read_by_vocabulary(const Graph& graph, TensorId table, const Op& head) {
  const auto& readers = graph.consumers(table);
  return std::all_of(readers.begin(), readers.end(), [&](OpId id) {
    const Op& op = graph.op(id);
    return op.id == head.id || (op.kind == OpKind::kEmbedding && op.inputs[1] == table);
  });
}

}  // namespace

std::optional<Vocabulary> find_vocabulary(const ModelGraph& model, const TensorBlocks& blocks,
                                          int ranks) {
  const Graph& graph = model.graph;
  const Op* loss = nullptr;
  for (const Op& op : graph.ops()) {
    if (op.kind != OpKind::kSoftmaxCrossEntropy) continue;
    if (loss != nullptr) return std::nullopt;
    loss = &op;
  }
  const Op* head = loss != nullptr ? head_of(model, *loss) : nullptr;
  if (head == nullptr || blocks.role[head->id.index()] != BlockRole::kOutside) return std::nullopt;
  const std::int64_t rows = std::get<LinearAttrs>(head->attrs).out_features;
  if (rows % ranks != 0) return std::nullopt;
  Vocabulary found{head->id, loss->id, {}, {}};
  for (std::size_t i = 1; i < head->inputs.size(); ++i) {
    const TensorId id = head->inputs[i];
    if (!is_parameter(graph, id) || !read_by_vocabulary(graph, id, *head)) return std::nullopt;
    found.parameters[id] = {0, {rows}};
  }
  for (const Op& op : graph.ops()) {
    const auto* table = std::get_if<EmbeddingAttrs>(&op.attrs);
    if (op.kind != OpKind::kEmbedding || table->rows != rows) continue;
    const TensorId id = op.inputs[1];
    if (!is_parameter(graph, id) || !read_by_vocabulary(graph, id, *head)) return std::nullopt;
    found.parameters[id] = {0, {rows}};
    found.lookups.push_back(op.id);
  }
  if (found.lookups.empty()) return std::nullopt;
  return found;
}

}  // namespace pluto
