#include "plan/step_overlap.h"

#include <algorithm>

#include "plan/access_log.h"
#include "plan/bucket_pieces.h"
#include "plan/bucket_slots.h"

namespace pluto {
namespace {

class Overlap {
 public:
  Overlap(const TrainingGraph& training, const StepProgram& program)
      : training_(training), graph_(training.graph), program_(program) {
    overlap_.across.resize(program.tasks.size());
    overlap_.needed_by.resize(program.tasks.size());
  }

  StepOverlap run() {
    find_needs();
    AccessLog log(graph_.tensors().size());
    const std::size_t tasks = program_.tasks.size();
    for (std::size_t id = 0; id < 2 * tasks; ++id) walk(log, program_.tasks[id % tasks], id);
    return std::move(overlap_);
  }

 private:
  const Op* node_of(const Task& task) const {
    if (const auto* op = std::get_if<OpTask>(&task.payload)) return &graph_.op(op->op);
    const auto* collective = std::get_if<CollectiveTask>(&task.payload);
    return collective == nullptr ? nullptr : &graph_.op(collective->op);
  }

  /// The first forward node that reads the parameter, or nodes id past the last.
  OpId first_reader(TensorId parameter) const {
    for (OpId id : graph_.consumers(parameter)) {
      if (training_.phase[id.index()] == OpPhase::kForward) return id;
    }
    return OpId(graph_.ops().size() - 1);
  }

  void find_needs() {
    std::vector<std::optional<OpId>> of_bucket, of_node(graph_.ops().size());
    for (std::size_t i = 0; i < training_.trained.size(); ++i) {
      const OpId reader = first_reader(training_.trained[i].parameter);
      of_node[training_.trained[i].update.index()] = reader;
      if (i >= program_.slots.size()) continue;  // in no bucket
      const std::size_t bucket = program_.slots[i].bucket;
      of_bucket.resize(std::max(of_bucket.size(), bucket + 1));
      auto& first = of_bucket[bucket];
      first = first ? std::min(*first, reader) : reader;
    }
    std::vector<std::optional<TaskId>> task_of(graph_.ops().size());
    for (const Task& task : program_.tasks) {
      const Op* op = node_of(task);
      if (op != nullptr && !task_of[op->id.index()]) task_of[op->id.index()] = task.id;
    }
    for (const Task& task : program_.tasks) {
      const Op* op = node_of(task);
      if (op == nullptr) continue;
      const OpPhase phase = training_.phase[op->id.index()];
      if (phase != OpPhase::kSync && phase != OpPhase::kUpdate) continue;
      // Packing waits for nobody: collectives wait for it.
      if (op->kind == OpKind::kPack && task.resource == Resource::kCompute &&
          graph_.tensor(op->inputs.front()).role == TensorRole::kGradient) {
        continue;
      }
      auto need = of_node[op->id.index()];
      if (const auto bucket = bucket_of(*op)) need = of_bucket[*bucket];
      if (need) overlap_.needed_by[task.id.index()] = task_of[need->index()];
    }
  }

  void walk(AccessLog& log, const Task& task, std::size_t id) {
    const Op* op = node_of(task);
    if (op == nullptr) return;
    const bool late = overlap_.needed_by[task.id.index()].has_value();
    const auto counts = [&](TensorId tensor) {
      return late || is_persistent(graph_.tensor(tensor).role);
    };
    const auto read = touched(task, *op, op->inputs);
    auto written = touched(task, *op, op->updates);
    const auto made = touched(task, *op, op->outputs);
    written.insert(written.end(), made.begin(), made.end());
    std::vector<TaskId> before;
    for (const Touched& one : read) {
      if (counts(one.tensor)) log.before_read(one.tensor, one.range, before);
    }
    for (const Touched& one : written) log.before_write(one.tensor, one.range, before);
    const std::size_t tasks = program_.tasks.size();
    auto& across = overlap_.across[task.id.index()];
    for (TaskId one : before) {
      if (id >= tasks && one.index() < tasks) across.push_back(one);
    }
    std::sort(across.begin(), across.end());
    across.erase(std::unique(across.begin(), across.end()), across.end());
    for (const Touched& one : read) {
      if (counts(one.tensor)) log.read(one.tensor, one.range, TaskId(id));
    }
    for (const Touched& one : written) {
      if (is_persistent(graph_.tensor(one.tensor).role)) {
        log.write(one.tensor, one.range, TaskId(id));
      }
    }
  }

  std::int64_t elements(const std::vector<TensorId>& ids) const {
    std::int64_t sum = 0;
    for (TensorId id : ids) sum += graph_.tensor(id).type.elements(program_.micro_batch);
    return sum;
  }

  std::vector<Touched> touched(const Task& task, const Op& op,
                               const std::vector<TensorId>& list) const {
    const auto* run = std::get_if<OpTask>(&task.payload);
    const ElementRange part =
        run != nullptr ? run->part : std::get<CollectiveTask>(task.payload).part;
    const bool gathers = op.kind == OpKind::kFactorGather || op.kind == OpKind::kFactorPush;
    const auto& slice = gathers ? op.outputs : op.updates.empty() ? op.inputs : op.updates;
    const bool update = training_.phase[op.id.index()] == OpPhase::kUpdate;
    std::vector<Touched> out;
    touched_elements(graph_, program_.micro_batch, list, part, elements(slice), update, out);
    return out;
  }

  const TrainingGraph& training_;
  const Graph& graph_;
  const StepProgram& program_;
  StepOverlap overlap_;
};

}  // namespace

StepOverlap overlap_of(const TrainingGraph& training, const StepProgram& program) {
  return Overlap(training, program).run();
}

}  // namespace pluto
