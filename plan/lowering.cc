#include "plan/lowering.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/fingerprint.h"
#include "base/text.h"
#include "model/passes/fuse_attention.h"
#include "model/passes/mixed_precision.h"
#include "model/passes/shard.h"
#include "plan/groups.h"
#include "plan/step_overlap.h"
#include "plan/task_emitter.h"

namespace pluto {
namespace {

/// Every micro-batch repeats the tasks of forward and backward.
constexpr std::int64_t kMaxAccumulation = 65536;

/// What the plan does to the model before it is differentiated.
Result<ModelGraph> rewritten(const ModelGraph& model, const Plan& plan) {
  ModelGraph one = model;
  if (plan.fuse) {
    PLUTO_ASSIGN_AT("fuse", one, fuse_attention(one));
  }
  PLUTO_ASSIGN_AT("layout.context", one, shard_sequence(one, plan.layout.context));
  PLUTO_ASSIGN_AT("expert", one, shard_experts(one, plan.expert));
  PLUTO_ASSIGN_AT("layout.tensor", one,
                  shard_tensor(one, plan.layout.tensor, plan.sequence_parallel));
  PLUTO_ASSIGN_AT("sharded", one, shard_layers(one, plan.sharded, plan.layout.data));
  if (plan.fuse) {
    PLUTO_ASSIGN_AT("fuse", one, fuse(one));
  }
  return mixed_precision(one, element_type(plan.precision));
}

/// The first way to synchronise that is not lowered where the model is split; nullptr: none.
/// `data_only`: the data ranks themselves split it.
const char* not_of_parts(const Plan& plan, bool stages, bool data_only) {
  if (plan.shard > 0 && data_only) return "shard above 0";
  // Every micro-batch would scatter its gradients before the next may follow.
  if (plan.shard > 1 && stages) return "shard above 1";
  if (plan.local.steps > 1) return "local.steps above 1";
  if (plan.server_nodes > 0) return "server_nodes above 0";
  if (plan.priority) return "priority";
  for (const BucketPlan& bucket : plan.buckets) {
    if (bucket.method == SyncMethod::kFactorServer) return "method factor_server";
    if (!stages && !data_only) continue;
    if (bucket.wire != DType::kF32) return "wire in 16 bits";
    if (bucket.chunks > 1) return "chunks above 1";
  }
  return nullptr;
}

/// The first strategy of the plan that only closed forms price so far; empty: all are lowered.
std::string not_lowered(const Plan& plan) {
  const bool split = plan.layout.tensor > 1 || plan.layout.context > 1;
  if (plan.expert > 1 && (plan.expert != plan.layout.data || split)) {
    return "expert other than the data ranks, or with layout.tensor or layout.context above 1";
  }
  if (!plan.sharded.empty() && (split || plan.expert > 1)) {
    return "sharded with layout.tensor, layout.context or expert above 1";
  }
  const bool stages = plan.layout.pipeline > 1;
  const char* part = stages                    ? "layout.pipeline above 1"
                     : plan.expert > 1         ? "expert above 1"
                     : !plan.sharded.empty()   ? "sharded"
                     : plan.layout.tensor > 1  ? "layout.tensor above 1"
                     : plan.layout.context > 1 ? "layout.context above 1"
                                               : nullptr;
  if (part != nullptr) {
    const bool data_only = plan.expert > 1 || !plan.sharded.empty();
    if (const char* how = not_of_parts(plan, stages, data_only)) {
      return fmt::format("{} with {}", how, part);
    }
  }
  // Ranks would keep the gathered 16-bit copies of all layers from forward to backward.
  if (plan.shard == 3 && element_type(plan.precision) != DType::kF32) {
    return "shard 3 with precision in 16 bits";
  }
  // What is scattered or pushed in every micro-batch is no persistent tensor: the next step could
  // overwrite it on its way.
  if (plan.priority && plan.shard > 1) return "priority with shard above 1";
  for (const BucketPlan& bucket : plan.buckets) {
    if (bucket.method == SyncMethod::kFactorServer && plan.server_nodes > 0 && plan.priority) {
      return "priority with factor_server on server_nodes";
    }
    // A factor's place may be overwritten, under another name, while it is still on its way.
    if (bucket.method == SyncMethod::kFactorServer && plan.server_nodes > 0 &&
        plan.accumulation > 1) {
      return "factor_server on server_nodes with accumulation above 1";
    }
  }
  return {};
}

Result<void> check_supported(const ModelGraph& model, const Plan& plan) {
  PLUTO_TRY_AT("plan", validate(plan));
  if (const std::string strategy = not_lowered(plan); !strategy.empty()) {
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

/// Whether each data rank has its own part of the parameter.
bool is_shared_out(const ModelGraph& model, const std::string& parameter) {
  return std::ranges::any_of(model.shards, [&](const ParameterShard& shard) {
    return shard.parameter == parameter &&
           (shard.group == RankGroup::kData || shard.group == RankGroup::kExpert);
  });
}

Result<std::vector<Bucket>> resolve_buckets(const TrainingGraph& training, const Plan& plan) {
  std::vector<Bucket> buckets;
  for (std::size_t b = 0; b < plan.buckets.size(); ++b) {
    Bucket bucket{plan.buckets[b].method, {}, plan.buckets[b].wire};
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

Result<TrainingGraph> with_communication(const TrainingGraph& training,
                                         const std::vector<Bucket>& buckets, const Plan& plan) {
  const int ranks = sync_group(plan.layout).ranks;
  if (plan.local.steps > 1) {
    return average_parameters(training, buckets, ranks, plan.local.block_momentum);
  }
  PLUTO_ASSIGN(auto synchronized, insert_sync(training, buckets, ranks, plan.shard));
  if (plan.shard < 3) return synchronized;
  return gather_parameters(synchronized, buckets, ranks);
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
  PLUTO_ASSIGN(const TrainingGraph training, derived(forward, plan));
  return recompute(training, plan.recompute);
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
    const bool served = buckets[b].method == SyncMethod::kParameterServer ||
                        buckets[b].method == SyncMethod::kFactorServer;
    if (served && plan.servers.empty()) {
      return invalid_input(fmt::format("plan: buckets[{}] is for servers, but servers is empty", b),
                           "servers: [0]");
    }
  }
  if (plan.layout.tensor > 1) {
    // A row layer's bias is not a factor of its own rank's product alone; a server holds the parts
    // of its own tensor rank only.
    for (const BucketPlan& bucket : plan.buckets) {
      if (bucket.method != SyncMethod::kSufficientFactor &&
          bucket.method != SyncMethod::kParameterServer) {
        continue;
      }
      return unsupported(fmt::format("{} with layout.tensor above 1 is not lowered to tasks yet",
                                     to_text(bucket.method)),
                         "method: all_reduce");
    }
  }
  LoweredPlan lowered;
  PLUTO_ASSIGN_AT("plan", lowered.training, with_communication(accumulated, buckets, plan));
  lowered.program = emit_tasks(lowered.training, plan);
  if (plan.priority && plan.layout.data > 1) {
    lowered.program.overlap = overlap_of(lowered.training, lowered.program);
  }
  if (plan.local.steps > 1 && plan.local.synchronous_samples > 0) {
    Plan first = plan;
    first.local = {};
    PLUTO_ASSIGN(auto synchronous, lower(accumulated, first));
    lowered.synchronous = std::make_shared<const LoweredPlan>(std::move(synchronous));
  }
  return lowered;
}

Result<std::vector<GradientInfo>> gradient_order(const ModelGraph& model, const Plan& plan) {
  PLUTO_ASSIGN(const ModelGraph forward, rewritten(model, plan));
  PLUTO_ASSIGN(const TrainingGraph training, differentiate(forward, plan.optimizer));
  std::vector<GradientInfo> order;
  for (const TrainedParameter& trained : training.trained) {
    const Tensor& parameter = training.graph.tensor(trained.parameter);
    if (is_shared_out(training.model, parameter.name)) continue;
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
