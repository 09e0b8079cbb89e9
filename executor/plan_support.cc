#include "executor/plan_support.h"

#include <fmt/format.h>

namespace pluto {

namespace {

Error not_run(const std::string& field, const std::string& value, const std::string& instead) {
  return unsupported(fmt::format("{}: {} is predicted but not run by this executor", field, value),
                     instead);
}

}  // namespace

Result<void> check_runnable(const Plan& plan) {
  const auto above_one = [](const char* field, int value) -> Result<void> {
    if (value <= 1) return {};
    return not_run(field, fmt::format("{}", value), fmt::format("{}: 1", field));
  };
  if (plan.precision != TrainPrecision::kF32) {
    return not_run("precision", to_text(plan.precision), "precision: fp32");
  }
  if (plan.data.queue != 1) {
    return not_run("data.queue", fmt::format("{}", plan.data.queue), "queue: 1");
  }
  if (plan.evaluation.every > 0) {
    return not_run("evaluation.every", fmt::format("{}", plan.evaluation.every),
                   "every: 0, at the end");
  }
  PLUTO_TRY(above_one("layout.tensor", plan.layout.tensor));
  PLUTO_TRY(above_one("layout.context", plan.layout.context));
  PLUTO_TRY(above_one("layout.pipeline", plan.layout.pipeline));
  PLUTO_TRY(above_one("expert", plan.expert));
  if (!plan.sharded.empty() && plan.layout.data > 1) {
    return not_run("sharded", plan.sharded.front(), "sharded: []");
  }
  if (plan.shard > 0) return not_run("shard", fmt::format("{}", plan.shard), "shard: 0");
  if (plan.server_nodes > 0) {
    return not_run("server_nodes", fmt::format("{}", plan.server_nodes),
                   "server_nodes: 0, servers among the ranks");
  }
  if (plan.priority) return not_run("priority", "true", "priority: false");
  if (plan.local.steps > 1) {
    return not_run("local.steps", fmt::format("{}", plan.local.steps), "local.steps: 1");
  }
  for (std::size_t b = 0; b < plan.buckets.size(); ++b) {
    const BucketPlan& bucket = plan.buckets[b];
    const auto field = [&](const char* name) { return fmt::format("buckets[{}].{}", b, name); };
    if (bucket.method == SyncMethod::kFactorServer || bucket.method == SyncMethod::kShard) {
      return not_run(field("method"), to_text(bucket.method),
                     "method: all_reduce, parameter_server or sufficient_factor");
    }
    if (bucket.algorithm != CollectiveAlgorithm::kRing) {
      return not_run(field("algorithm"), to_text(bucket.algorithm), "algorithm: ring");
    }
    if (bucket.wire != DType::kF32)
      return not_run(field("wire"), to_text(bucket.wire), "wire: f32");
    if (bucket.chunks > 1) {
      return not_run(field("chunks"), fmt::format("{}", bucket.chunks), "chunks: 1");
    }
  }
  return {};
}

}  // namespace pluto
