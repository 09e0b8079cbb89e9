#include "plan/task_emitter.h"

#include <algorithm>
#include <array>
#include <utility>

#include "plan/collective_task.h"

namespace pluto {
namespace {

/// Walks the graph once per micro-batch and emits tasks; a tensor's last writer and its readers
/// since are where predecessors come from.
class TaskEmitter {
 public:
  TaskEmitter(const TrainingGraph& training, const Plan& plan)
      : training_(training),
        graph_(training.graph),
        plan_(plan),
        writer_(graph_.tensors().size()),
        readers_(graph_.tensors().size()),
        shards_(graph_.ops().size()) {
    split_server_updates();
  }

  StepProgram emit() {
    program_.ranks = plan_.layout.data;
    program_.micro_batch = plan_.micro_batch;
    program_.accumulation = static_cast<int>(plan_.accumulation);
    for (int micro = 0; micro < program_.accumulation; ++micro) {
      begin_micro_batch(micro);
      for (const Op& op : graph_.ops()) {
        const OpPhase phase = training_.phase[op.id.index()];
        const bool once = phase == OpPhase::kSync || phase == OpPhase::kUpdate;
        if (!once || micro + 1 == program_.accumulation) emit_op(op, micro);
      }
    }
    return std::move(program_);
  }

 private:
  void split_server_updates() {
    std::vector<std::optional<std::size_t>> trained_of(graph_.tensors().size());
    for (std::size_t i = 0; i < training_.trained.size(); ++i) {
      trained_of[training_.trained[i].parameter.index()] = i;
    }
    for (const Op& pull : graph_.ops()) {
      if (pull.kind != OpKind::kServerPull) continue;
      ShardSplit split;
      split.servers = static_cast<int>(plan_.servers.size());
      for (TensorId id : pull.updates) split.bucket_elements += elements(id);
      for (TensorId id : pull.updates) {
        split.elements = elements(id);
        shards_[training_.trained[*trained_of[id.index()]].update.index()] = split;
        split.offset += split.elements;
      }
    }
  }

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
    return id;
  }

  void begin_micro_batch(int micro) {
    // Activations of a micro-batch are new values; only what lives on connects it to the one
    // before.
    for (const Tensor& tensor : graph_.tensors()) {
      if (is_persistent(tensor.role)) continue;
      writer_[tensor.id.index()].reset();
      readers_[tensor.id.index()].clear();
    }
    const auto inputs = graph_.with_role(TensorRole::kInput);
    // Two sets of input tensors: this batch overwrites the one before the last.
    auto& set_readers = input_readers_[static_cast<std::size_t>(micro % 2)];
    const TaskId batch = add(Resource::kInput, BatchTask{micro, bytes(inputs)}, set_readers);
    set_readers.clear();
    for (TensorId id : inputs) writer_[id.index()] = batch;
  }

  void emit_op(const Op& op, int micro) {
    std::vector<TaskId> predecessors;
    for (TensorId id : op.inputs) {
      if (const auto& writer = writer_[id.index()]) predecessors.push_back(*writer);
    }
    for (const auto* written : {&op.updates, &op.outputs}) {
      for (TensorId id : *written) {
        if (const auto& writer = writer_[id.index()]) predecessors.push_back(*writer);
        const auto& readers = readers_[id.index()];
        predecessors.insert(predecessors.end(), readers.begin(), readers.end());
      }
    }
    const TaskId task = is_communication(op)
                            ? add(Resource::kNetwork, collective_task(graph_, op, plan_, micro),
                                  std::move(predecessors))
                            : add(Resource::kCompute, OpTask{op.id, micro, shards_[op.id.index()]},
                                  std::move(predecessors));
    for (TensorId id : op.inputs) {
      readers_[id.index()].push_back(task);
      if (graph_.tensor(id).role == TensorRole::kInput) {
        input_readers_[static_cast<std::size_t>(micro % 2)].push_back(task);
      }
    }
    for (const auto* written : {&op.updates, &op.outputs}) {
      for (TensorId id : *written) {
        writer_[id.index()] = task;
        readers_[id.index()].clear();
      }
    }
  }

  const TrainingGraph& training_;
  const Graph& graph_;
  const Plan& plan_;
  StepProgram program_;
  std::vector<std::optional<TaskId>> writer_;         // by TensorId
  std::vector<std::vector<TaskId>> readers_;          // by TensorId, since the last write
  std::array<std::vector<TaskId>, 2> input_readers_;  // by input set
  std::vector<ShardSplit> shards_;                    // by OpId
};

}  // namespace

StepProgram emit_tasks(const TrainingGraph& training, const Plan& plan) {
  return TaskEmitter(training, plan).emit();
}

}  // namespace pluto
