#include "plan/memory_plan.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "model/op_schema.h"
#include "plan/held_bytes.h"
#include "plan/lifetimes.h"

namespace pluto {
namespace {

constexpr std::int64_t kAlignment = 64;
constexpr std::int64_t kFloat = 4;

std::int64_t rounded_up(std::int64_t value, std::int64_t unit) {
  return (value + unit - 1) / unit * unit;
}
Bytes aligned(Bytes size) { return Bytes(rounded_up(size.value(), kAlignment)); }

/// Activations that share one place.
struct Place {
  std::vector<TensorId> tensors;
  Lifetime life;
  Bytes size;
  Bytes offset;
};

/// Which activations share a place: union-find over tensors.
class AliasGroups {
 public:
  AliasGroups(const Graph& graph, std::vector<Lifetime> lives)
      : graph_(graph), lives_(std::move(lives)), parent_(graph.tensors().size()) {
    std::iota(parent_.begin(), parent_.end(), std::size_t{0});
  }

  void merge_aliases(std::int64_t micro_batch) {
    for (const Op& op : graph_.ops()) {
      if (op.inputs.empty() || op.outputs.empty()) continue;
      const TensorId from = op.inputs.front(), to = op.outputs.front();
      if (!has_place(from) || !has_place(to)) continue;
      const bool same_bytes = schema_of(op.kind).alias == OpSchema::Alias::kSameBytes;
      const bool overwrites = may_overwrite(graph_, op) && ends_with(from, op) &&
                              bytes(from, micro_batch) == bytes(to, micro_batch);
      if (same_bytes || overwrites) join(from, to);
    }
  }

  std::vector<Place> places(std::int64_t micro_batch) {
    std::vector<Place> places;
    std::vector<std::size_t> place_of(parent_.size(), parent_.size());
    for (const Tensor& tensor : graph_.tensors()) {
      if (!has_place(tensor.id)) continue;
      const std::size_t root = find(tensor.id.index());
      if (place_of[root] == parent_.size()) {
        place_of[root] = places.size();
        places.push_back({{}, lives_[root], Bytes(0), Bytes(0)});
      }
      Place& place = places[place_of[root]];
      place.tensors.push_back(tensor.id);
      place.size = std::max(place.size, bytes(tensor.id, micro_batch));
    }
    return places;
  }

 private:
  bool has_place(TensorId id) const { return !lives_[id.index()].empty(); }
  Bytes bytes(TensorId id, std::int64_t micro_batch) const {
    return graph_.tensor(id).type.bytes(micro_batch);
  }
  std::size_t find(std::size_t index) {
    while (parent_[index] != index) index = parent_[index] = parent_[parent_[index]];
    return index;
  }
  /// Whether nobody needs the place of `tensor` after `op`, which reads it through its first
  /// operand only.
  bool ends_with(TensorId tensor, const Op& op) {
    const std::size_t root = find(tensor.index());
    if (lives_[root].end != static_cast<std::int64_t>(op.id.index())) return false;
    return std::none_of(op.inputs.begin() + 1, op.inputs.end(),
                        [&](TensorId other) { return find(other.index()) == root; });
  }
  void join(TensorId from, TensorId to) {
    const std::size_t a = find(from.index()), b = find(to.index());
    if (a == b) return;
    lives_[a] = lives_[a].joined(lives_[b]);
    parent_[b] = a;
  }

  const Graph& graph_;
  std::vector<Lifetime> lives_;  // of the group, at its root; of the tensor while it is alone
  std::vector<std::size_t> parent_;
};

/// Largest first, each into the smallest gap that its contemporaries leave. Returns the end of the
/// highest. Source: greedy by size, Pisarchyk and Lee 2020 (arXiv:2001.03288), with best instead of
/// first fit.
Bytes place_by_size(std::vector<Place>& places) {
  std::vector<std::size_t> by_size(places.size());
  std::iota(by_size.begin(), by_size.end(), std::size_t{0});
  std::stable_sort(by_size.begin(), by_size.end(),
                   [&](std::size_t a, std::size_t b) { return places[a].size > places[b].size; });
  std::vector<std::size_t> placed;  // by offset
  Bytes top;
  for (std::size_t index : by_size) {
    Place& place = places[index];
    const Bytes needed = aligned(place.size);
    Bytes floor, best_gap;
    std::optional<Bytes> best;
    for (std::size_t other : placed) {
      if (!places[other].life.overlaps(place.life)) continue;
      const Bytes gap = places[other].offset - floor;
      if (gap >= needed && (!best || gap < best_gap)) {
        best = floor;
        best_gap = gap;
      }
      floor = std::max(floor, places[other].offset + aligned(places[other].size));
    }
    place.offset = best.value_or(floor);
    top = std::max(top, place.offset + needed);
    const auto position =
        std::upper_bound(placed.begin(), placed.end(), place.offset,
                         [&](Bytes offset, std::size_t p) { return offset < places[p].offset; });
    placed.insert(position, index);
  }
  return top;
}

Bytes place_apart(std::vector<Place>& places) {
  Bytes top;
  for (Place& place : places) {
    place.offset = top;
    top += aligned(place.size);
  }
  return top;
}

class MemoryPlanner {
 public:
  MemoryPlanner(const TrainingGraph& training, const StepProgram& program)
      : training_(training), graph_(training.graph), program_(program) {
    plan_.offset.resize(graph_.tensors().size());
    plan_.size = held_bytes(training, program);
    plan_.free_after.resize(graph_.tensors().size());
    placed_.resize(graph_.tensors().size());
  }

  MemoryPlan run(const WorkspaceOf& workspace, const MemoryOptions& options) {
    MemoryBreakdown& sizes = plan_.breakdown;
    place_persistent();
    place_inputs();
    place_activations(options.reuse);
    if (workspace) {
      for (const Op& op : graph_.ops()) sizes.workspace = std::max(sizes.workspace, workspace(op));
    }
    sizes.workspace = aligned(sizes.workspace);
    plan_.workspace_offset = top_;
    top_ += sizes.workspace;
    sizes.communication = aligned(communication_staging(program_));
    plan_.communication_offset = top_;
    return std::move(plan_);
  }

 private:
  /// Appends one block: the tensors one after the other, each at a multiple of `unit` (0: of its
  /// elements).
  Bytes place_block(const std::vector<TensorId>& tensors, std::int64_t unit = 0) {
    const Bytes begin = top_;
    for (TensorId id : tensors) {
      if (placed_[id.index()]) continue;
      placed_[id.index()] = true;
      const std::int64_t step = unit > 0 ? unit : element_size(graph_.tensor(id).type.dtype);
      top_ = Bytes(rounded_up(top_.value(), step));
      plan_.offset[id.index()] = top_;
      top_ += plan_.size[id.index()];
    }
    top_ = aligned(top_);
    return top_ - begin;
  }

  void place_persistent() {
    std::vector<TensorId> parameters, gradients;
    std::vector<std::vector<TensorId>> states;
    for (const TrainedParameter& trained : training_.trained) {
      parameters.push_back(trained.parameter);
      gradients.push_back(trained.gradient);
      if (states.size() < trained.state.size()) states.resize(trained.state.size());
      for (std::size_t k = 0; k < trained.state.size(); ++k) states[k].push_back(trained.state[k]);
    }
    const auto rest = [&](TensorRole role) {
      return place_block(graph_.with_role(role), kAlignment);
    };
    MemoryBreakdown& sizes = plan_.breakdown;
    sizes.parameters = place_block(parameters);
    sizes.parameters += rest(TensorRole::kParameter);
    sizes.gradients = place_block(gradients);
    sizes.gradients += rest(TensorRole::kGradient);
    for (const auto& state : states) sizes.optimizer_state += place_block(state);
    sizes.optimizer_state += rest(TensorRole::kOptimizerState);
    sizes.buffers = rest(TensorRole::kBuffer);
  }

  void place_inputs() {
    plan_.input_set_stride = place_block(graph_.with_role(TensorRole::kInput), kAlignment);
    plan_.breakdown.inputs = plan_.input_set_stride * 2;
    top_ += plan_.input_set_stride;
  }

  void place_activations(bool reuse) {
    AliasGroups groups(graph_, activation_lifetimes(training_, program_));
    if (reuse) groups.merge_aliases(program_.micro_batch);
    std::vector<Place> places = groups.places(program_.micro_batch);
    plan_.breakdown.activations = reuse ? place_by_size(places) : place_apart(places);
    const auto last_node = static_cast<std::int64_t>(graph_.ops().size()) - 1;
    for (const Place& place : places) {
      for (TensorId id : place.tensors) {
        plan_.offset[id.index()] = top_ + place.offset;
        if (place.life.end < last_node) {
          plan_.free_after[id.index()] = OpId(static_cast<std::size_t>(place.life.end));
        }
      }
    }
    top_ += plan_.breakdown.activations;
    find_peak(places);
  }

  void find_peak(const std::vector<Place>& places) {
    if (places.empty()) return;
    std::vector<std::int64_t> change(graph_.ops().size() + 1);
    for (const Place& place : places) {
      change[static_cast<std::size_t>(place.life.begin)] += place.size.value();
      change[static_cast<std::size_t>(place.life.end) + 1] -= place.size.value();
    }
    std::int64_t live = 0;
    OpId peak(0);
    for (std::size_t node = 0; node < graph_.ops().size(); ++node) {
      live += change[node];
      if (live > plan_.peak_live.value()) {
        plan_.peak_live = Bytes(live);
        peak = OpId(node);
      }
    }
    for (const Task& task : program_.tasks) {
      const auto* op = std::get_if<OpTask>(&task.payload);
      const auto* collective = std::get_if<CollectiveTask>(&task.payload);
      if ((op != nullptr && op->op == peak) || (collective != nullptr && collective->op == peak)) {
        plan_.peak_task = task.id;
        return;
      }
    }
  }

  const TrainingGraph& training_;
  const Graph& graph_;
  const StepProgram& program_;
  MemoryPlan plan_;
  std::vector<bool> placed_;  // by TensorId, persistent tensors and inputs
  Bytes top_;
};

/// Into how many parts a collective's buffer is cut where one is received and added; 0: nothing is.
std::int64_t incoming_chunks(const CollectiveTask& task) {
  if (task.kind == CollectiveKind::kReduceScatter) return task.servers;
  if (task.kind != CollectiveKind::kAllReduce) return 0;
  switch (task.algorithm) {
    case CollectiveAlgorithm::kRing:
      return task.ranks;
    case CollectiveAlgorithm::kHalvingDoubling:
    case CollectiveAlgorithm::kHierarchical:  // at least two ranks of a node share it
      return 2;
    case CollectiveAlgorithm::kTree:
    case CollectiveAlgorithm::kRecursiveDoubling:
      return 1;
  }
  return 1;
}

}  // namespace

MemoryPlan plan_memory(const TrainingGraph& training, const StepProgram& program,
                       const WorkspaceOf& workspace, const MemoryOptions& options) {
  return MemoryPlanner(training, program).run(workspace, options);
}

Bytes communication_staging(const StepProgram& program) {
  Bytes staging;
  if (program.ranks == 1) return staging;
  for (const Task& task : program.tasks) {
    const auto* collective = std::get_if<CollectiveTask>(&task.payload);
    if (collective == nullptr) continue;
    // A server of its own adds up what comes in; who sends needs nothing.
    if (collective->direction == Direction::kUp) continue;
    const std::int64_t chunks = incoming_chunks(*collective);
    if (chunks == 0) continue;
    const std::int64_t elements = collective->bytes.value() / kFloat;
    staging = std::max(staging, Bytes((elements + chunks - 1) / chunks * kFloat));
  }
  return staging;
}

}  // namespace pluto
