#include "planner/variants.h"

#include <utility>

#include "planner/layer_split.h"
#include "planner/space.h"

namespace pluto {

namespace {

bool on_gpus(const Plan& plan) { return plan.backend == "cuda"; }

/// With `stages`, each of the ranks that are left takes the batches of as many; nullopt where
/// micro-batches are too few.
std::optional<Plan> in_stages(const Plan& plan, int stages) {
  const int ranks = plan.layout.data;
  if (ranks % stages != 0) return std::nullopt;
  Plan one = plan;
  one.layout.pipeline = stages;
  one.layout.data = ranks / stages;
  one.accumulation = plan.accumulation * stages;
  if (one.accumulation < stages || one.accumulation > kMostAccumulation) return std::nullopt;
  return one;
}

}  // namespace

std::vector<Plan> smaller_plans(const Plan& plan, const ModelGraph& model) {
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
  if (auto large = large_layers(model, plan.layout.data); plan.layout.data > 1 && !large.empty()) {
    for (const Recompute recompute : {Recompute::kNone, Recompute::kSelective, Recompute::kFull}) {
      plans.push_back(plan);
      plans.back().sharded = large;
      plans.back().recompute = recompute;
    }
  }
  const auto layers = static_cast<int>(model.graph.ops().size());
  for (const Recompute recompute : {Recompute::kNone, Recompute::kFull}) {
    for (int stages = 2; stages <= plan.layout.data && stages <= layers / 2; stages *= 2) {
      auto one = in_stages(plan, stages);
      if (!one) continue;
      one->recompute = recompute;
      plans.push_back(std::move(*one));
    }
  }
  return plans;
}

Result<std::vector<Plan>> quieter_plans(const Plan& plan, const ModelGraph& model,
                                        bool factors_allowed, const CostSource& costs) {
  std::vector<Plan> plans;
  if (!on_gpus(plan) || plan.layout.data == 1) return plans;
  Plan hybrid = plan;
  PLUTO_ASSIGN(hybrid.sharded, split_layers(model, plan, factors_allowed, costs));
  if (!hybrid.sharded.empty()) plans.push_back(hybrid);
  auto large = large_layers(model, plan.layout.data);
  if (!large.empty() && large != hybrid.sharded) {
    hybrid.sharded = std::move(large);
    plans.push_back(std::move(hybrid));
  }
  Plan shared = plan;
  shared.shard = 1;
  plans.push_back(std::move(shared));
  return plans;
}

}  // namespace pluto
