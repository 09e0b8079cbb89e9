#include "planner/transformer_fit.h"

#include <fmt/format.h>

#include <algorithm>

#include "planner/strategy_plan.h"

namespace pluto {

namespace {

bool faster(const PricedTransformer& a, const PricedTransformer& b) {
  return a.predicted.prediction.step_time.p50 < b.predicted.prediction.step_time.p50;
}

/// A point of the space of changes.
struct Change {
  bool smallest_micro = false, sequence_parallel = false;
  Recompute recompute = Recompute::kNone;
  int shard = 0, tensor = 1, pipeline = 1, nodes = 1;
};

/// What differs from the plan, as settings.
std::vector<std::string> settings_of(const Change& change, const Plan& plan) {
  std::vector<std::string> settings;
  if (change.nodes != plan.cluster.nodes) {
    const int ranks = plan.layout.ranks() / plan.cluster.nodes * change.nodes;
    settings.push_back(fmt::format("ranks={}", ranks));
  }
  if (change.tensor != plan.layout.tensor)
    settings.push_back(fmt::format("tensor={}", change.tensor));
  if (change.pipeline != plan.layout.pipeline) {
    settings.push_back(fmt::format("pipeline={}", change.pipeline));
  }
  if (change.shard != plan.shard) settings.push_back(fmt::format("shard={}", change.shard));
  if (change.recompute != plan.recompute) {
    settings.push_back(fmt::format("recompute={}", to_text(change.recompute)));
  }
  if (change.sequence_parallel != plan.sequence_parallel) {
    settings.emplace_back("sequence_parallel=1");
  }
  if (change.smallest_micro && plan.micro_batch > 1) settings.emplace_back("micro_batch=1");
  return settings;
}

/// The job with those changes; data follows from the ranks.
TrainingJob changed(TrainingJob job, const Change& change, const Plan& plan) {
  job.ranks = plan.layout.ranks() / plan.cluster.nodes * change.nodes;
  job.min_ranks.reset();
  job.max_ranks.reset();
  StrategyChoice& choice = job.strategy;
  choice.data.reset();
  choice.nodes.reset();
  choice.tensor = change.tensor;
  choice.pipeline = change.pipeline;
  choice.shard = change.shard;
  choice.recompute = change.recompute;
  choice.sequence_parallel = change.sequence_parallel;
  if (change.smallest_micro) job.micro_batch = 1;
  return job;
}

std::vector<Recompute> recomputing_from(Recompute least) {
  std::vector<Recompute> modes;
  for (const auto mode : {Recompute::kNone, Recompute::kSelective, Recompute::kFull}) {
    if (mode >= least) modes.push_back(mode);
  }
  return modes;
}

std::vector<Change> changes_of(const Plan& plan, const TransformerShape& shape, int nodes) {
  std::vector<Change> changes;
  const int devices = plan.cluster.instance.node.devices;
  for (int tensor = plan.layout.tensor; tensor <= std::max(devices, plan.layout.tensor);
       tensor *= 2) {
    for (int pipeline = plan.layout.pipeline; pipeline * plan.pipeline.interleave <= shape.layers;
         pipeline *= 2) {
      for (int shard = plan.shard; shard <= 3; ++shard) {
        for (const Recompute recompute : recomputing_from(plan.recompute)) {
          for (const bool sequence : {plan.sequence_parallel, true}) {
            for (const bool smallest : {false, true}) {
              if (sequence && tensor == 1) continue;
              changes.push_back({smallest, sequence, recompute, shard, tensor, pipeline, nodes});
            }
          }
        }
      }
    }
  }
  return changes;
}

}  // namespace

Result<PricedTransformer> choose_micro_batch(const TransformerShape& shape,
                                             const std::vector<Plan>& plans,
                                             const TransformerEvidence& evidence) {
  std::optional<PricedTransformer> best;
  std::optional<Error> first;
  for (const Plan& plan : plans) {
    auto predicted = predict_transformer_plan(shape, plan, evidence);
    if (!predicted.ok()) {
      if (!first) first = predicted.error();
      continue;
    }
    PricedTransformer one{plan, std::move(predicted).value()};
    const bool better =
        !best || (one.predicted.fits != best->predicted.fits ? one.predicted.fits
                  : one.predicted.fits                       ? faster(one, *best)
                                       : one.predicted.reserved < best->predicted.reserved);
    if (better) best = std::move(one);
  }
  if (!best) return *first;
  return std::move(*best);
}

std::optional<NearestFit> nearest_fit(const TrainingJob& job, const TransformerShape& shape,
                                      const ModelGraph& model, std::int64_t dataset_samples,
                                      const Candidate& candidate, const Plan& plan,
                                      const TransformerEvidence& evidence) {
  for (const int times : {1, 2, 4}) {
    std::optional<NearestFit> nearest;
    for (const Change& change : changes_of(plan, shape, times * plan.cluster.nodes)) {
      auto settings = settings_of(change, plan);
      if (nearest && settings.size() > nearest->settings.size()) continue;
      const auto plans =
          plans_with_strategy(changed(job, change, plan), model, dataset_samples, candidate);
      if (!plans.ok()) continue;
      auto priced = choose_micro_batch(shape, *plans, evidence);
      if (!priced.ok() || !priced->predicted.fits) continue;
      if (nearest && settings.size() == nearest->settings.size() &&
          !faster(*priced, nearest->priced)) {
        continue;
      }
      nearest = {std::move(settings), std::move(priced).value()};
    }
    if (nearest) return nearest;
  }
  return std::nullopt;
}

}  // namespace pluto
