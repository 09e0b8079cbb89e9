#include "plan/task_emitter.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "plan/access_log.h"
#include "plan/bucket_pieces.h"
#include "plan/bucket_slots.h"
#include "plan/groups.h"

namespace pluto {
namespace {

/// Walks the graph once per micro-batch and emits tasks; the access log says what they
/// wait for.
class TaskEmitter {
 public:
  TaskEmitter(const TrainingGraph& training, const Plan& plan)
      : training_(training),
        graph_(training.graph),
        plan_(plan),
        pieces_(training, plan),
        log_(graph_.tensors().size()),
        lasting_(graph_.tensors().size()) {
    // Nothing of its micro-batch waits for a gradient's reduce_scatter or for what servers of their
    // own do with factors: the next one must.
    for (const Op& op : graph_.ops()) {
      const bool push = op.kind == OpKind::kFactorPush && plan.server_nodes > 0;
      const bool unpack = op.kind == OpKind::kUnpack && lasting_[op.inputs.front().index()];
      if (push || op.kind == OpKind::kReduceScatter) {
        for (TensorId id : op.inputs) lasting_[id.index()] = true;
      }
      if (push || unpack) {
        for (TensorId id : op.outputs) lasting_[id.index()] = true;
      }
    }
  }

  StepProgram emit() {
    program_.ranks = plan_.layout.ranks() / plan_.layout.pipeline;
    program_.sync_ranks = sync_group(plan_.layout).ranks;
    program_.micro_batch = plan_.micro_batch;
    program_.accumulation = static_cast<int>(plan_.accumulation);
    program_.shard = plan_.shard;
    program_.server_nodes = plan_.server_nodes;
    program_.local = plan_.local;
    program_.slots = bucket_slots(training_, plan_);
    for (const BucketPlan& bucket : plan_.buckets) program_.methods.push_back(bucket.method);
    for (int micro = 0; micro < program_.accumulation; ++micro) {
      begin_micro_batch(micro);
      for (const Op& op : graph_.ops()) {
        const OpPhase phase = training_.phase[op.id.index()];
        const bool each = phase == OpPhase::kForward || phase == OpPhase::kBackward;
        if (!each && micro + 1 != program_.accumulation) continue;
        for (const Piece& piece : pieces_.of(op)) emit_piece(op, piece, micro);
      }
    }
    return std::move(program_);
  }

 private:
  std::int64_t elements(TensorId id) const {
    return graph_.tensor(id).type.elements(plan_.micro_batch);
  }
  Bytes bytes(const std::vector<TensorId>& ids) const {
    Bytes sum;
    for (TensorId id : ids) sum += graph_.tensor(id).type.bytes(plan_.micro_batch);
    return sum;
  }

  TaskId add(Resource resource, std::variant<OpTask, CollectiveTask, BatchTask> payload,
             std::vector<TaskId> predecessors) {
    std::sort(predecessors.begin(), predecessors.end());
    predecessors.erase(std::unique(predecessors.begin(), predecessors.end()), predecessors.end());
    const TaskId id(program_.tasks.size());
    program_.tasks.push_back({id, resource, std::move(payload), std::move(predecessors)});
    if (resource == Resource::kCompute) last_compute_ = id;
    return id;
  }

  void begin_micro_batch(int micro) {
    // Activations of a micro-batch are new values; only what lives on connects it to the one
    // before.
    for (const Tensor& tensor : graph_.tensors()) {
      if (!is_persistent(tensor.role) && !lasting_[tensor.id.index()]) log_.forget(tensor.id);
    }
    const auto inputs = graph_.with_role(TensorRole::kInput);
    // Two sets of input tensors: this batch overwrites the one before the last.
    auto& set_readers = input_readers_[static_cast<std::size_t>(micro % 2)];
    const TaskId batch = add(Resource::kInput, BatchTask{micro, bytes(inputs)}, set_readers);
    set_readers.clear();
    for (TensorId id : inputs) log_.write(id, {0, elements(id)}, batch);
  }

  void emit_piece(const Op& op, const Piece& piece, int micro) {
    std::vector<TaskId> predecessors;
    pieces_.touched(op.inputs, op, piece, read_);
    for (const Touched& touched : read_) {
      log_.before_read(touched.tensor, touched.range, predecessors);
    }
    pieces_.touched(op.updates, op, piece, written_);
    pieces_.touched(op.outputs, op, piece, made_);
    written_.insert(written_.end(), made_.begin(), made_.end());
    for (const Touched& touched : written_) {
      log_.before_write(touched.tensor, touched.range, predecessors);
    }
    // Gathered parameters take memory: not before their turn.
    if (op.kind == OpKind::kParameterGather && last_compute_) {
      predecessors.push_back(*last_compute_);
    }
    const auto [resource, payload] = pieces_.task(op, piece, micro);
    const TaskId task = std::visit(
        [&](const auto& one) { return add(resource, one, std::move(predecessors)); }, payload);
    for (const Touched& touched : read_) {
      log_.read(touched.tensor, touched.range, task);
      if (graph_.tensor(touched.tensor).role == TensorRole::kInput) {
        input_readers_[static_cast<std::size_t>(micro % 2)].push_back(task);
      }
    }
    for (const Touched& touched : written_) log_.write(touched.tensor, touched.range, task);
  }

  const TrainingGraph& training_;
  const Graph& graph_;
  const Plan& plan_;
  BucketPieces pieces_;
  StepProgram program_;
  AccessLog log_;
  std::vector<bool> lasting_;                         // by TensorId
  std::array<std::vector<TaskId>, 2> input_readers_;  // by input set
  std::optional<TaskId> last_compute_;
  std::vector<Touched> read_, written_, made_;  // of the piece at hand
};

}  // namespace

StepProgram emit_tasks(const TrainingGraph& training, const Plan& plan) {
  return TaskEmitter(training, plan).emit();
}

}  // namespace pluto
