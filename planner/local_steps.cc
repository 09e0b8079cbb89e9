#include "planner/local_steps.h"

#include <algorithm>
#include <cmath>

#include "planner/sync_choice.h"

namespace pluto {

namespace {

Seconds exposed_exchange(const Prediction& prediction) {
  for (const Term& term : prediction.terms) {
    if (term.name == "exposed_comm") return term.time;
  }
  return Seconds();
}

/// Until warm-up is over and the rate first falls.
std::int64_t synchronous_samples(const Plan& plan) {
  const double run = static_cast<double>(plan.steps) * static_cast<double>(plan.global_batch);
  std::int64_t first = plan.learning_rate.warmup_samples;
  if (!plan.learning_rate.boundaries.empty()) {
    first = std::max(first, plan.learning_rate.boundaries.front());
  }
  return std::max(first, static_cast<std::int64_t>(run * kSynchronousShare));
}

}  // namespace

std::optional<Plan> with_local_steps(const Plan& plan, const Prediction& prediction,
                                     const std::vector<GradientInfo>& gradients) {
  const bool data_only = plan.layout.ranks() == plan.layout.data && plan.layout.data > 1;
  if (!data_only || !plan.sharded.empty()) return std::nullopt;
  const Seconds step = prediction.step_time.p50, exposed = exposed_exchange(prediction);
  const auto hidden = [&](int steps) {
    return exposed / steps <= (step - exposed + exposed / steps) * kHiddenEnough;
  };
  if (hidden(1)) return std::nullopt;
  Plan local = plan;
  local.local.steps = 2;
  while (local.local.steps < kMostLocalSteps && !hidden(local.local.steps)) local.local.steps *= 2;
  local.local.synchronous_samples = synchronous_samples(plan);
  local.shard = 0;
  const std::vector methods(gradients.size(), SyncMethod::kAllReduce);
  local = with_buckets(std::move(local), make_buckets(gradients, methods, kPlainBucket));
  auto& convergence = local.convergence;
  convergence.spread = std::hypot(convergence.spread, kLocalSpread);
  convergence.evidence = Evidence::kAssumed;
  convergence.source += convergence.source.empty() ? "stated length" : "";
  convergence.source += ", as if local steps cost no samples";
  return local;
}

}  // namespace pluto
