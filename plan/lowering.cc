#include "plan/lowering.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/fingerprint.h"
#include "base/text.h"
#include "plan/task_emitter.h"

namespace pluto {
namespace {

/// Every micro-batch repeats the tasks of forward and backward.
constexpr std::int64_t kMaxAccumulation = 65536;

/// What the plan does to the model before it is differentiated.
Result<ModelGraph> rewritten(const ModelGraph& model, const Plan& plan) {
  if (!plan.fuse) return model;
  PLUTO_ASSIGN_AT("fuse", ModelGraph fused, fuse(model));
  return fused;
}

/// The first strategy of the plan that only closed forms price so far; nullptr: all are lowered.
const char* not_lowered(const Plan& plan) {
  if (plan.layout.tensor > 1) return "layout.tensor above 1";
  if (plan.layout.context > 1) return "layout.context above 1";
  if (plan.expert > 1) return "expert above 1";
  if (!plan.sharded.empty()) return "sharded";
  if (plan.shard > 0) return "shard above 0";
  if (plan.recompute != Recompute::kNone) return "recompute";
  if (plan.local.steps > 1) return "local.steps above 1";
  if (plan.server_nodes > 0) return "server_nodes above 0";
  if (plan.priority) return "priority";
  for (const BucketPlan& bucket : plan.buckets) {
    if (bucket.algorithm != CollectiveAlgorithm::kRing) return "an algorithm that is no ring";
    if (bucket.wire != DType::kF32) return "a wire of 16 bits";
    if (bucket.chunks > 1) return "chunks above 1";
  }
  return nullptr;
}

Result<void> check_supported(const ModelGraph& model, const Plan& plan) {
  PLUTO_TRY_AT("plan", validate(plan));
  if (const char* strategy = not_lowered(plan)) {
    return unsupported(fmt::format("{} is not lowered to tasks yet", strategy));
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

}  // namespace

Result<ModelGraph> transformed(const ModelGraph& model, const Plan& plan) {
  PLUTO_TRY(check_supported(model, plan));
  return rewritten(model, plan);
}

Result<TrainingGraph> derived(const ModelGraph& transformed, const Plan& plan) {
  PLUTO_ASSIGN(const TrainingGraph single, differentiate(transformed, plan.optimizer));
  return accumulate_gradients(single, static_cast<int>(plan.accumulation));
}

Result<TrainingGraph> unsynchronized(const ModelGraph& model, const Plan& plan) {
  PLUTO_ASSIGN(const ModelGraph forward, transformed(model, plan));
  return derived(forward, plan);
}

Result<LoweredPlan> lower(const ModelGraph& model, const Plan& plan) {
  if (plan.layout.pipeline > 1) {
    return unsupported(
        fmt::format("layout.pipeline is {}: one program is one stage's", plan.layout.pipeline),
        "layout.pipeline: 1");
  }
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
  lowered.program = emit_tasks(lowered.training, plan);
  return lowered;
}

Result<std::vector<GradientInfo>> gradient_order(const ModelGraph& model, const Plan& plan) {
  PLUTO_ASSIGN(const ModelGraph forward, rewritten(model, plan));
  PLUTO_ASSIGN(const TrainingGraph training, differentiate(forward, plan.optimizer));
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
