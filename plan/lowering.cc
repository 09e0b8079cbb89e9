#include "plan/lowering.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/fingerprint.h"
#include "base/text.h"

namespace pluto {
namespace {

/// Every micro-batch repeats the tasks of forward and backward.
constexpr std::int64_t kMaxAccumulation = 65536;

/// The forward passes of the plan and its derivative.
Result<TrainingGraph> differentiated(const ModelGraph& model, const Plan& plan) {
  if (!plan.fuse) return differentiate(model, plan.optimizer);
  PLUTO_ASSIGN_AT("fuse", const ModelGraph fused, fuse(model));
  return differentiate(fused, plan.optimizer);
}

Result<void> check_supported(const ModelGraph& model, const Plan& plan) {
  PLUTO_TRY_AT("plan", validate(plan));
  if (plan.layout.tensor > 1) {
    return unsupported(
        fmt::format("tensor parallelism of degree {} cannot be run", plan.layout.tensor),
        "layout.tensor: 1");
  }
  if (plan.layout.pipeline > 1) {
    return unsupported(
        fmt::format("pipeline parallelism of degree {} cannot be run", plan.layout.pipeline),
        "layout.pipeline: 1");
  }
  if (plan.accumulation > kMaxAccumulation) {
    return unsupported(fmt::format("accumulation over {} micro-batches; the most is {}",
                                   plan.accumulation, kMaxAccumulation),
                       "a larger micro_batch");
  }
  if (plan.model_fingerprint != model.graph.fingerprint()) {
    return invalid_input(
        fmt::format("the plan was made for a model with fingerprint {}, but {} has {}",
                    to_hex(plan.model_fingerprint), model.name, to_hex(model.graph.fingerprint())),
        "load the model the plan names, with its options, or search again");
  }
  return {};
}

Result<std::vector<Bucket>> resolve_buckets(const TrainingGraph& training, const Plan& plan) {
  std::vector<Bucket> buckets;
  for (std::size_t b = 0; b < plan.buckets.size(); ++b) {
    Bucket bucket{plan.buckets[b].method, {}};
    for (const std::string& name : plan.buckets[b].parameters) {
      const auto id = training.graph.find_tensor(name);
      if (!id || training.graph.tensor(*id).role != TensorRole::kParameter) {
        std::vector<std::string> names;
        for (const auto& trained : training.trained) {
          names.push_back(training.graph.tensor(trained.parameter).name);
        }
        const auto nearest = nearest_word(name, names);
        return invalid_input(fmt::format("buckets[{}]: the model has no parameter '{}'", b, name),
                             nearest ? fmt::format("did you mean '{}'?", *nearest) : std::string());
      }
      bucket.parameters.push_back(*id);
    }
    buckets.push_back(std::move(bucket));
  }
  return buckets;
}

bool is_communication(const Op& op) { return std::holds_alternative<CommAttrs>(op.attrs); }

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
    const TaskId task =
        is_communication(op)
            ? add(Resource::kNetwork, collective(op, micro), std::move(predecessors))
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

  CollectiveTask collective(const Op& op, int micro) const {
    CollectiveTask task;
    task.op = op.id;
    task.micro_index = micro;
    task.servers = program_.ranks;
    switch (op.kind) {
      case OpKind::kServerPush:
        task.kind = CollectiveKind::kReduceScatter;
        task.servers = static_cast<int>(plan_.servers.size());
        task.bytes = bytes(op.updates);
        break;
      case OpKind::kServerPull:
        task.kind = CollectiveKind::kAllGather;
        task.servers = static_cast<int>(plan_.servers.size());
        task.bytes = bytes(op.updates);
        break;
      case OpKind::kFactorGather:
        task.kind = CollectiveKind::kAllGather;
        task.bytes = bytes(op.outputs);
        break;
      default:
        task.kind = CollectiveKind::kAllReduce;
        task.bytes = bytes(op.updates);
        break;
    }
    return task;
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

Result<TrainingGraph> unsynchronized(const ModelGraph& model, const Plan& plan) {
  PLUTO_TRY(check_supported(model, plan));
  PLUTO_ASSIGN(const TrainingGraph single, differentiated(model, plan));
  return accumulate_gradients(single, static_cast<int>(plan.accumulation));
}

Result<LoweredPlan> lower(const ModelGraph& model, const Plan& plan) {
  PLUTO_ASSIGN(const TrainingGraph training, unsynchronized(model, plan));
  return lower(training, plan);
}

Result<LoweredPlan> lower(const TrainingGraph& accumulated, const Plan& plan) {
  PLUTO_ASSIGN_AT("plan", const auto buckets, resolve_buckets(accumulated, plan));
  for (std::size_t b = 0; b < buckets.size(); ++b) {
    if (buckets[b].method == SyncMethod::kParameterServer && plan.servers.empty()) {
      return invalid_input(
          fmt::format("plan: buckets[{}] is for parameter servers, but servers is empty", b),
          "servers: [0]");
    }
  }
  LoweredPlan lowered;
  PLUTO_ASSIGN_AT("plan", lowered.training, insert_sync(accumulated, buckets, plan.layout.data));
  lowered.program = TaskEmitter(lowered.training, plan).emit();
  return lowered;
}

Result<std::vector<GradientInfo>> gradient_order(const ModelGraph& model, const Plan& plan) {
  PLUTO_ASSIGN(const TrainingGraph training, differentiated(model, plan));
  std::vector<GradientInfo> order;
  for (const TrainedParameter& trained : training.trained) {
    const Tensor& parameter = training.graph.tensor(trained.parameter);
    GradientInfo info;
    info.name = parameter.name;
    info.bytes = parameter.type.bytes(1);
    info.sufficient_factors = has_sufficient_factors(training, trained.parameter);
    if (info.sufficient_factors) {
      const Op& node = training.graph.op(*training.graph.tensor(trained.gradient).producer);
      const Tensor& x = training.graph.tensor(node.inputs[1]);
      const std::int64_t columns = x.type.shape.dims.back();
      info.factor_rows = x.type.shape.elements() / columns;
      if (node.outputs.front() == trained.gradient) {
        info.columns = columns;
        info.rows = parameter.type.shape.dims.front();
      } else {
        for (const TrainedParameter& weight : training.trained) {
          if (weight.gradient == node.outputs.front()) {
            info.factors_of = training.graph.tensor(weight.parameter).name;
          }
        }
      }
    }
    order.push_back(std::move(info));
  }
  return order;
}

}  // namespace pluto
