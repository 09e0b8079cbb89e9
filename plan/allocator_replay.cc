#include "plan/allocator_replay.h"

#include <utility>
#include <vector>

#include "model/op_schema.h"
#include "plan/held_bytes.h"
#include "plan/lifetimes.h"

namespace pluto {
namespace {

constexpr int kSteps = 3;  // the second has the optimizer state from its start, the third is steady

class Replay {
 public:
  Replay(const TrainingGraph& training, const StepProgram& program, const WorkspaceOf& workspace,
         std::optional<Bytes> capacity)
      : graph_(training.graph),
        training_(training),
        program_(program),
        workspace_(workspace),
        allocator_(capacity),
        held_(held_bytes(training, program)),
        storage_(graph_.tensors().size()),
        born_(graph_.ops().size()),
        dying_(graph_.ops().size()) {
    find_lives();
  }

  std::optional<FrameworkMemory> run() {
    bool fits = true;
    for (const Tensor& tensor : graph_.tensors()) {
      if (tensor.role == TensorRole::kParameter || tensor.role == TensorRole::kBuffer)
        fits = fits && take(tensor.id);
    }
    for (int step = 0; fits && step < kSteps; ++step) fits = one_step();
    if (!fits) return std::nullopt;
    return FrameworkMemory{allocator_.peak_allocated(), allocator_.peak_reserved()};
  }

 private:
  /// Views are born and die with the tensor they show.
  void find_lives() {
    auto lives = activation_lifetimes(training_, program_);
    std::vector<TensorId> shown(graph_.tensors().size());
    for (const Tensor& tensor : graph_.tensors()) shown[tensor.id.index()] = tensor.id;
    for (const Op& op : graph_.ops()) {
      if (schema_of(op.kind).alias != OpSchema::Alias::kSameBytes) continue;
      const TensorId base = shown[op.inputs.front().index()], view = op.outputs.front();
      shown[view.index()] = base;
      if (!lives[base.index()].empty())
        lives[base.index()] = lives[base.index()].joined(lives[view.index()]);
      lives[view.index()] = {};
    }
    for (const Tensor& tensor : graph_.tensors()) {
      const Lifetime& life = lives[tensor.id.index()];
      if (life.empty()) continue;
      born_[static_cast<std::size_t>(life.begin)].push_back(tensor.id);
      dying_[static_cast<std::size_t>(life.end)].push_back(tensor.id);
    }
  }

  bool one_step() {
    for (int micro = 0; micro < program_.accumulation; ++micro) {
      if (!one_micro_batch(micro + 1 == program_.accumulation)) return false;
    }
    for (const TrainedParameter& trained : training_.trained) drop(trained.gradient);
    return true;
  }

  bool one_micro_batch(bool last) {
    for (const Tensor& tensor : graph_.tensors()) {
      if (tensor.role == TensorRole::kInput && !take(tensor.id)) return false;
    }
    for (const Op& op : graph_.ops()) {
      const OpPhase phase = training_.phase[op.id.index()];
      const bool each = phase == OpPhase::kForward || phase == OpPhase::kBackward;
      if (!each && !last) continue;
      for (const TensorId id : born_[op.id.index()]) {
        if (!take(id)) return false;
      }
      for (const auto* operands : {&op.inputs, &op.outputs, &op.updates}) {
        for (const TensorId id : *operands) {
          const TensorRole role = graph_.tensor(id).role;
          const bool kept = role == TensorRole::kGradient || role == TensorRole::kOptimizerState;
          if (kept && !take(id)) return false;
        }
      }
      if (workspace_) {
        const auto scratch = allocator_.allocate(workspace_(op));
        if (!scratch) return false;
        allocator_.release(*scratch);
      }
      for (const TensorId id : dying_[op.id.index()]) drop(id);
    }
    for (const Tensor& tensor : graph_.tensors()) {
      if (tensor.role == TensorRole::kInput || tensor.role == TensorRole::kActivation)
        drop(tensor.id);
    }
    return true;
  }

  /// Nothing when the tensor has its storage already.
  bool take(TensorId id) {
    auto& storage = storage_[id.index()];
    if (!storage) storage = allocator_.allocate(held_[id.index()]);
    return storage.has_value();
  }
  void drop(TensorId id) {
    if (const auto storage = std::exchange(storage_[id.index()], std::nullopt))
      allocator_.release(*storage);
  }

  const Graph& graph_;
  const TrainingGraph& training_;
  const StepProgram& program_;
  const WorkspaceOf& workspace_;
  CachingAllocator allocator_;
  std::vector<Bytes> held_;                                       // by TensorId
  std::vector<std::optional<CachingAllocator::Handle>> storage_;  // by TensorId
  std::vector<std::vector<TensorId>> born_, dying_;               // activations, by OpId
};

}  // namespace

std::optional<FrameworkMemory> replay_caching_allocator(const TrainingGraph& training,
                                                        const StepProgram& program,
                                                        const WorkspaceOf& workspace,
                                                        std::optional<Bytes> capacity) {
  return Replay(training, program, workspace, capacity).run();
}

}  // namespace pluto
