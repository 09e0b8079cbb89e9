#include "planner/variants.h"

#include <map>

#include "model/op.h"

namespace pluto {

namespace {

bool on_gpus(const Plan& plan) { return plan.backend == "cuda"; }

/// Names of the large linear layers whose features all ranks can share.
std::vector<std::string> large_layers(const ModelGraph& model, int ranks) {
  std::map<TensorId, int> users;
  for (const Op& op : model.graph.ops()) {
    for (const TensorId input : op.inputs) ++users[input];
  }
  std::vector<std::string> names;
  for (const Op& op : model.graph.ops()) {
    if (op.kind != OpKind::kLinear) continue;
    const Tensor& weight = model.graph.tensor(op.inputs[1]);
    const bool large = weight.type.shape.elements() >= kLargeLayer;
    const bool even = std::get<LinearAttrs>(op.attrs).out_features % ranks == 0;
    if (large && even && users[op.inputs[1]] == 1) names.push_back(op.name);
  }
  return names;
}

}  // namespace

std::vector<Plan> smaller_plans(const Plan& plan) {
  std::vector<Plan> plans;
  if (!on_gpus(plan)) return plans;
  // Ranks that gather 16-bit copies would keep them all: ZeRO 3 is for 32 bits (plan/lowering.cc).
  const int most = plan.layout.data == 1 ? 0 : element_type(plan.precision) == DType::kF32 ? 3 : 2;
  for (const Recompute recompute : {Recompute::kNone, Recompute::kSelective, Recompute::kFull}) {
    for (int shard = 0; shard <= most; ++shard) {
      if (shard == 0 && recompute == Recompute::kNone) continue;
      Plan one = plan;
      one.shard = shard;
      one.recompute = recompute;
      plans.push_back(std::move(one));
    }
  }
  return plans;
}

std::vector<Plan> split_plans(const Plan& plan, const ModelGraph& model) {
  std::vector<Plan> plans;
  if (!on_gpus(plan) || plan.layout.data == 1) return plans;
  Plan split = plan;
  split.sharded = large_layers(model, plan.layout.data);
  if (split.sharded.empty()) return plans;
  for (const Recompute recompute : {Recompute::kNone, Recompute::kSelective, Recompute::kFull}) {
    split.recompute = recompute;
    plans.push_back(split);
  }
  return plans;
}

std::vector<Plan> quieter_plans(const Plan& plan, const ModelGraph& model) {
  std::vector<Plan> plans;
  if (!on_gpus(plan) || plan.layout.data == 1) return plans;
  Plan hybrid = plan;
  hybrid.sharded = large_layers(model, plan.layout.data);
  if (!hybrid.sharded.empty()) plans.push_back(std::move(hybrid));
  // The plan itself: its buckets take the type of its activations to the wire.
  if (element_type(plan.precision) != DType::kF32) plans.push_back(plan);
  Plan shared = plan;
  shared.shard = 1;
  plans.push_back(std::move(shared));
  return plans;
}

}  // namespace pluto
