#include "planner/strategy_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "planner/space.h"

namespace pluto {

namespace {

Result<void> in_range(const char* key, const std::optional<int>& value, int least, int most) {
  if (!value || (*value >= least && *value <= most)) return {};
  return invalid_input(fmt::format("{}: {} is not in {} to {}", key, *value, least, most));
}

Result<void> check_choice(const StrategyChoice& choice) {
  constexpr int kMost = 1 << 20;
  PLUTO_TRY(in_range("data", choice.data, 1, kMost));
  PLUTO_TRY(in_range("tensor", choice.tensor, 1, kMost));
  PLUTO_TRY(in_range("pipeline", choice.pipeline, 1, kMost));
  PLUTO_TRY(in_range("context", choice.context, 1, kMost));
  PLUTO_TRY(in_range("interleave", choice.interleave, 1, kMost));
  PLUTO_TRY(in_range("nodes", choice.nodes, 1, kMost));
  PLUTO_TRY(in_range("shard", choice.shard, 0, 3));
  if (choice.interleave.value_or(1) > 1 && choice.pipeline.value_or(1) == 1) {
    return invalid_input("interleave: there is one pipeline stage", "set pipeline above 1");
  }
  if (choice.sequence_parallel.value_or(false) && choice.tensor.value_or(1) == 1) {
    return invalid_input("sequence_parallel: there is one tensor rank", "set tensor above 1");
  }
  return {};
}

}  // namespace

Result<PlacedLayout> place_layout(const TrainingJob& job, int devices) {
  const StrategyChoice& choice = job.strategy;
  PLUTO_TRY(check_choice(choice));
  PlacedLayout placed;
  Layout& layout = placed.layout;
  layout.tensor = choice.tensor.value_or(1);
  layout.pipeline = choice.pipeline.value_or(1);
  layout.context = choice.context.value_or(1);
  // In double: the product of large degrees does not fit an int.
  const double one = static_cast<double>(layout.tensor) * layout.pipeline * layout.context;
  const double wanted = one * choice.data.value_or(1);
  constexpr double kMostRanks = 1 << 24;
  if (wanted > kMostRanks) {
    return invalid_input(fmt::format("data x tensor x pipeline x context: {} ranks", wanted),
                         "choose smaller degrees");
  }
  const int copy = static_cast<int>(one);
  const int fewest = (static_cast<int>(wanted) + devices - 1) / devices;
  const int ranks = job.ranks      ? *job.ranks
                    : choice.data  ? static_cast<int>(wanted)
                    : choice.nodes ? *choice.nodes * devices
                                   : fewest * devices;
  if (ranks % copy != 0) {
    return invalid_input(
        fmt::format("ranks: {} is no multiple of tensor x pipeline x context = {}", ranks, copy),
        fmt::format("set ranks={}", std::max(1, ranks / copy) * copy));
  }
  layout.data = ranks / copy;
  if (choice.data && layout.data != *choice.data) {
    return invalid_input(
        fmt::format("ranks: {} is not data x tensor x pipeline x context = {}", ranks, wanted),
        fmt::format("leave data out, or set ranks={}", wanted));
  }
  placed.nodes = choice.nodes.value_or((ranks + devices - 1) / devices);
  if (static_cast<std::int64_t>(placed.nodes) * devices < ranks) {
    return invalid_input(fmt::format("nodes: {} nodes have {} devices, {} ranks need more",
                                     placed.nodes, placed.nodes * devices, ranks),
                         fmt::format("set nodes={}", (ranks + devices - 1) / devices));
  }
  return placed;
}

Result<std::vector<Plan>> plans_with_strategy(const TrainingJob& job, const ModelGraph& model,
                                              std::int64_t dataset_samples,
                                              const Candidate& candidate) {
  PLUTO_ASSIGN(const PlacedLayout placed, place_layout(job, candidate.instance.node.devices));
  if (!job.global_batch) {
    return invalid_input("global_batch: a plan with a fixed layout needs a fixed batch",
                         "for example global_batch=512");
  }
  // What is left to enumerate is how the data ranks cut the batch.
  TrainingJob shared = job;
  shared.ranks = placed.layout.data;
  shared.min_ranks.reset();
  shared.max_ranks.reset();
  Candidate place = candidate;
  place.max_ranks = placed.layout.data;
  PLUTO_ASSIGN(const Space space, enumerate(shared, dataset_samples, {place}));
  std::vector<Plan> plans;
  const StrategyChoice& choice = job.strategy;
  const int interleave = choice.interleave.value_or(1);
  for (const Placement& placement : space.placements) {
    for (const std::int64_t micro_batch : placement.micro_batches) {
      Plan plan = plan_of(shared, model, dataset_samples, place, placement, micro_batch);
      plan.layout = placed.layout;
      plan.cluster.nodes = placed.nodes;
      plan.pipeline.interleave = interleave;
      plan.sequence_parallel = choice.sequence_parallel.value_or(false);
      plan.shard = choice.shard.value_or(0);
      plan.recompute = choice.recompute.value_or(Recompute::kNone);
      // Interleaved stages take micro-batches in groups of as many as there are stages.
      if (interleave > 1 && plan.accumulation % placed.layout.pipeline != 0) continue;
      plans.push_back(std::move(plan));
    }
  }
  if (plans.empty()) {
    return invalid_input(
        fmt::format("global_batch: {} samples over {} data ranks make no whole number of "
                    "micro-batches{}",
                    *job.global_batch, placed.layout.data,
                    interleave > 1 ? fmt::format(" in groups of {}", placed.layout.pipeline) : ""),
        "change global_batch or micro_batch");
  }
  return plans;
}

}  // namespace pluto
