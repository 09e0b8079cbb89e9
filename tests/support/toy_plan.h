#pragma once
// Valid plans for small models, without a planner.

#include <random>
#include <string>
#include <utility>
#include <vector>

#include "plan/lowering.h"

namespace pluto::testing {

/// A complete plan for `ranks` data-parallel ranks with one sample each, everything in one
/// all_reduce bucket, nodes as the model has them (no fuse). Precondition: the model can be
/// trained.
inline Plan plan_for(const ModelGraph& model, int ranks = 1, std::int64_t micro_batch = 1,
                     std::int64_t accumulation = 1) {
  Plan plan;
  plan.job = "toy";
  plan.model.source = model.name.empty() ? "toy" : model.name;
  plan.model_fingerprint = model.graph.fingerprint();
  plan.data.samples = 64;
  plan.dataset_samples = 64;
  plan.cluster.instance.name = "local";
  plan.cluster.instance.node.device.memory = Bytes(std::int64_t{1} << 30);
  plan.cluster.nodes = ranks;
  plan.backend = "reference";
  plan.fuse = false;
  plan.layout.data = ranks;
  plan.micro_batch = micro_batch;
  plan.accumulation = accumulation;
  plan.global_batch = ranks * micro_batch * accumulation;
  plan.steps = 2;
  if (ranks > 1) {
    BucketPlan bucket;
    const auto order = gradient_order(model, plan).value();
    for (const GradientInfo& info : order) {
      bucket.parameters.push_back(info.name);
    }
    plan.buckets = {std::move(bucket)};
  }
  return plan;
}

/// As above, everything in one bucket of this method; each rank serves.
inline Plan plan_with(const ModelGraph& model, SyncMethod method, int ranks,
                      std::int64_t micro_batch = 1, std::int64_t accumulation = 1) {
  Plan plan = plan_for(model, ranks, micro_batch, accumulation);
  plan.buckets.front().method = method;
  for (int rank = 0; rank < ranks; ++rank) plan.servers.push_back(rank);
  return plan;
}

/// A plan with buckets of random size and methods (sufficient factors only where there are some),
/// servers on some of the ranks.
inline Plan random_plan(const ModelGraph& model, std::uint64_t seed, int ranks,
                        std::int64_t micro_batch, std::int64_t accumulation) {
  Plan plan = plan_for(model, ranks, micro_batch, accumulation);
  std::mt19937_64 random(seed);
  plan.fuse = random() % 2 == 0;
  if (random() % 2 == 0) {
    plan.optimizer = AdamAttrs{};
  } else {
    plan.optimizer = SgdAttrs{random() % 2 == 0 ? 0.9 : 0.0, 0, false};
  }
  if (ranks == 1) return plan;
  plan.buckets.clear();
  bool factors = false;  // of the layer: weight and bias agree
  const auto order = gradient_order(model, plan).value();
  for (const GradientInfo& info : order) {
    if (info.factors_of.empty()) factors = info.sufficient_factors && random() % 2 == 0;
    SyncMethod method = random() % 2 == 0 ? SyncMethod::kAllReduce : SyncMethod::kParameterServer;
    if (factors && info.sufficient_factors) method = SyncMethod::kSufficientFactor;
    if (plan.buckets.empty() || plan.buckets.back().method != method || random() % 3 == 0) {
      plan.buckets.push_back({method, {}});
    }
    plan.buckets.back().parameters.push_back(info.name);
  }
  const int servers = 1 + static_cast<int>(random() % static_cast<std::uint64_t>(ranks));
  for (int server = 0; server < servers; ++server) plan.servers.push_back(ranks - 1 - server);
  return plan;
}

}  // namespace pluto::testing
