#include "model/passes/recompute.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "model/passes/graph_rewrite.h"

namespace pluto {
namespace {

constexpr const char* kSuffix = ".recompute";

/// The walk over the graph that puts copies where backward first needs them.
class CopyWriter {
 public:
  CopyWriter(const TrainingGraph& training, const std::vector<bool>& dropped)
      : training_(training),
        graph_(training.graph),
        dropped_(dropped),
        rewrite_(training.graph),
        copy_(graph_.ops().size()) {}

  Result<TrainingGraph> write() {
    for (const Op& op : graph_.ops()) {
      if (training_.phase[op.id.index()] != OpPhase::kForward) {
        for (TensorId& operand : rewrite_.op(op.id).inputs) operand = copied(operand);
      }
      order_.push_back(op.id);
    }
    std::vector<OpPhase> phase = training_.phase;
    phase.resize(rewrite_.ops(), OpPhase::kBackward);
    PLUTO_ASSIGN(auto rewritten, rewrite_.build(order_));
    const std::vector<OpId> placed = rewritten.ops;
    auto result = carry_over(training_, training_.trained, phase, std::move(rewritten));
    for (const Op& op : graph_.ops()) {
      const OpId copy = copy_[op.id.index()];
      if (copy.valid()) result.origin[placed[copy.index()].index()] = placed[op.id.index()];
    }
    return result;
  }

 private:
  /// The node whose copy stands for a tensor in backward; nullptr: the tensor is kept.
  const Op* source(TensorId tensor) const {
    return dropped_[tensor.index()] ? &graph_.op(*graph_.tensor(tensor).producer) : nullptr;
  }
  bool is_copied(const Op& op) const { return copy_[op.id.index()].valid(); }

  /// What backward reads instead of `tensor`; its copy is in the order by then.
  TensorId copied(TensorId tensor) {
    const Op* first = source(tensor);
    if (first == nullptr) return tensor;
    // Depth first without recursion: a segment may be a long chain.
    std::vector<const Op*> open = {first};
    while (!open.empty()) {
      const Op& op = *open.back();
      const std::size_t before = open.size();
      for (TensorId input : op.inputs) {
        const Op* made_by = is_copied(op) ? nullptr : source(input);
        if (made_by != nullptr && !is_copied(*made_by)) open.push_back(made_by);
      }
      if (open.size() > before) continue;
      open.pop_back();
      if (!is_copied(op)) add_copy(op);
    }
    return stand_in(tensor);
  }

  void add_copy(const Op& op) {
    std::vector<TensorId> inputs;
    for (TensorId input : op.inputs) inputs.push_back(stand_in(input));
    std::vector<TensorType> types;
    for (TensorId output : op.outputs) types.push_back(graph_.tensor(output).type);
    // Without updates: running statistics have seen this micro-batch already.
    const OpId copy = rewrite_.add_op(op.name + kSuffix, op.kind, op.pass, op.attrs,
                                      std::move(inputs), std::move(types));
    copy_[op.id.index()] = copy;
    order_.push_back(copy);
  }

  /// Precondition: what is dropped has its copy.
  TensorId stand_in(TensorId tensor) {
    const Op* op = source(tensor);
    if (op == nullptr) return tensor;
    const auto place = std::find(op->outputs.begin(), op->outputs.end(), tensor);
    const auto index = static_cast<std::size_t>(place - op->outputs.begin());
    return rewrite_.op(copy_[op->id.index()]).outputs[index];
  }

  const TrainingGraph& training_;
  const Graph& graph_;
  const std::vector<bool>& dropped_;  // by TensorId
  GraphRewrite rewrite_;
  std::vector<OpId> copy_;  // by OpId of the graph; invalid: none yet
  std::vector<OpId> order_;
};

}  // namespace

Result<TrainingGraph> recompute(const TrainingGraph& training, Recompute recompute) {
  for (const Op& op : training.graph.ops()) {
    const bool copy = training.phase[op.id.index()] == OpPhase::kBackward &&
                      op.name.ends_with(kSuffix) && op.pass == OpPass::kForward;
    if (copy) return invalid_input(fmt::format("node {} is a copy already", op.name));
  }
  if (recompute == Recompute::kNone) return training;
  return CopyWriter(training, dropped_activations(training, recompute)).write();
}

}  // namespace pluto
