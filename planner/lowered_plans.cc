#include "planner/lowered_plans.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "planner/bounds.h"

namespace pluto {

namespace {

/// What the graph before communication depends on.
std::string training_key(const Plan& plan) {
  std::string key = fmt::format("{} {}", plan.accumulation, static_cast<int>(plan.recompute));
  if (plan.sharded.empty()) return key;
  key += fmt::format(" {}", plan.layout.data);
  for (const std::string& layer : plan.sharded) key += ' ' + layer;
  return key;
}

/// What the rest depends on.
std::string plan_key(const Plan& plan) {
  std::string key = fmt::format("{}|{} {} {} {} {}|{} {} {} {}", training_key(plan),
                                plan.layout.data, plan.micro_batch, plan.shard, plan.servers.size(),
                                plan.server_nodes, plan.priority, plan.local.steps,
                                plan.local.block_momentum, plan.local.synchronous_samples);
  for (const BucketPlan& bucket : plan.buckets) {
    key +=
        fmt::format("|{} {} {} {}", static_cast<int>(bucket.method), static_cast<int>(bucket.wire),
                    bucket.chunks, static_cast<int>(bucket.algorithm));
    for (const std::string& parameter : bucket.parameters) key += ' ' + parameter;
  }
  return key;
}

}  // namespace

Result<std::shared_ptr<const TrainingGraph>> LoweredPlans::training_of(const Plan& plan) {
  auto& training = trainings_[training_key(plan)];
  if (training) return training;
  // Communication comes later: ranks alone run the same graph, unless they split layers.
  const Plan one = plan.sharded.empty() ? alone(plan, plan.micro_batch, plan.accumulation) : plan;
  PLUTO_ASSIGN(auto made, unsynchronized(model_, one));
  training = std::make_shared<const TrainingGraph>(std::move(made));
  return training;
}

Result<std::shared_ptr<const LoweredPlan>> LoweredPlans::of(const Plan& plan) {
  Kept& kept = kept_[plan_key(plan)];
  kept.asked = ++asks_;
  if (kept.lowered) return kept.lowered;
  PLUTO_ASSIGN(const auto training, training_of(plan));
  PLUTO_ASSIGN(auto made, lower(*training, plan));
  ++made_;
  kept.lowered = std::make_shared<const LoweredPlan>(std::move(made));
  const auto lowered = kept.lowered;
  tasks_ += static_cast<std::int64_t>(lowered->program.tasks.size());
  while (tasks_ > kKeptTasks && kept_.size() > 1) drop_oldest();
  return lowered;
}

void LoweredPlans::drop_oldest() {
  const auto oldest =
      std::ranges::min_element(kept_, {}, [](const auto& entry) { return entry.second.asked; });
  if (oldest->second.lowered) {
    tasks_ -= static_cast<std::int64_t>(oldest->second.lowered->program.tasks.size());
  }
  kept_.erase(oldest);
}

}  // namespace pluto
