#include "planner/space.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "planner/batch_law.h"

namespace pluto {

namespace {

bool can_synchronise(const TrainingJob& job) {
  return std::ranges::any_of(job.allowed_sync,
                             [](SyncMethod method) { return method != SyncMethod::kNone; });
}

Result<void> check(const TrainingJob& job, std::int64_t dataset_samples,
                   const std::vector<Candidate>& candidates) {
  if (candidates.empty()) {
    return invalid_input("instances: none is left to choose from", "name at least one instance");
  }
  const int targets = int(job.epochs.has_value()) + int(job.target_samples.has_value()) +
                      int(job.target_steps.has_value());
  if (targets != 1) {
    return invalid_input(fmt::format("target: {} of epochs, samples and steps are set", targets),
                         "set exactly one of them");
  }
  if (job.epochs && dataset_samples < 1) {
    return invalid_input("data: an empty data set has no epochs");
  }
  if (!job.global_batch && !(job.convergence.given() && job.max_global_batch)) {
    return invalid_input(
        "global_batch: it can be chosen only when convergence (critical_batch, noise_scale or "
        "source) and max_global_batch are given",
        "set global_batch");
  }
  if (job.rate_rule == RateRule::kLars && !job.lars_exponent) {
    return invalid_input("learning_rate: the exponent of rule lars was not looked up",
                         "call look_up_convergence (planner/convergence_table.h) first");
  }
  int most = 0;
  for (const auto& candidate : candidates) most = std::max(most, candidate.max_ranks);
  if (job.ranks && *job.ranks > most) {
    return invalid_input(fmt::format("ranks: {} are asked for, but no instance offers more than {}",
                                     *job.ranks, most));
  }
  if (job.ranks.value_or(1) > 1 && !can_synchronise(job)) {
    return invalid_input(
        fmt::format("sync: no method is allowed that keeps {} ranks together", *job.ranks),
        "allow all_reduce");
  }
  if (job.global_batch && job.ranks) {
    if (*job.global_batch % *job.ranks != 0) {
      return invalid_input(
          fmt::format("global_batch: {} samples cannot be shared evenly by {} ranks",
                      *job.global_batch, *job.ranks),
          fmt::format("set global_batch to {}",
                      std::max<std::int64_t>(1, *job.global_batch / *job.ranks) * *job.ranks));
    }
    const auto share = *job.global_batch / *job.ranks;
    if (job.micro_batch && share % *job.micro_batch != 0) {
      return invalid_input(fmt::format("micro_batch: {} does not divide the {} samples of a rank",
                                       *job.micro_batch, share));
    }
  }
  return {};
}

std::vector<std::int64_t> global_batches(const TrainingJob& job) {
  if (job.global_batch) return {*job.global_batch};
  std::set<std::int64_t> batches;
  for (std::int64_t batch = 1; batch <= *job.max_global_batch; batch *= 2) batches.insert(batch);
  const auto stated = job.learning_rate_batch.value_or(0);
  if (stated >= 1 && stated <= *job.max_global_batch) batches.insert(stated);
  return {batches.begin(), batches.end()};
}

std::vector<std::int64_t> micro_batches(const TrainingJob& job, std::int64_t share) {
  if (job.micro_batch) {
    if (share % *job.micro_batch != 0 || share / *job.micro_batch > kMostAccumulation) return {};
    return {*job.micro_batch};
  }
  std::vector<std::int64_t> sizes{share};
  std::int64_t power = 1;
  while (share % (2 * power) == 0) power *= 2;
  for (; power >= 1; power /= 2) {
    if (power < share && share / power <= kMostAccumulation) sizes.push_back(power);
  }
  return sizes;
}

/// What a batch does to a job tuned at the reference.
struct BatchEffect {
  double stretch = 1;  // of the target
  double rate_factor = 1;
  Convergence convergence;
};

BatchEffect effect_of(const TrainingJob& job, const SamplesLaw& law, std::int64_t batch,
                      std::int64_t reference) {
  const auto b = static_cast<double>(batch), b0 = static_cast<double>(reference);
  const SamplesEstimate estimate = estimate_samples(law, b, b0);
  BatchEffect effect;
  effect.rate_factor =
      rate_factor({job.rate_rule, estimate.ratio, critical_batch_at(law, std::max(b, b0)),
                   job.lars_exponent.value_or(0)},
                  job.optimizer, batch, reference);
  // A fixed batch takes the target as stated; that of a metric is as sure as its points.
  if (job.global_batch && !job.target_metric) return effect;
  if (job.target_metric && !law.points.empty()) {
    const auto of_points = estimate_samples(law, b, static_cast<double>(law.points.front().batch));
    const bool others = law.kind == LawKind::kFamily;
    effect.stretch = estimate.ratio;
    effect.convergence = {of_points.spread, others ? Evidence::kAssumed : of_points.evidence,
                          law.source};
    return effect;
  }
  effect.stretch = estimate.ratio;
  effect.convergence = {estimate.spread, estimate.evidence, law.source};
  return effect;
}

/// The schedule at a batch, with the warm-up that the rule asks for where the job states none.
LearningRate rate_at(const TrainingJob& job, const LearningRate& schedule, const RateBasis& basis,
                     const BatchEffect& effect, std::int64_t batch, double samples,
                     std::int64_t dataset_samples) {
  LearningRate rate = scale_learning_rate(schedule, effect.rate_factor, effect.stretch);
  if (job.warmup_chosen && rate.schedule != ScheduleKind::kStep) {
    rate.warmup_samples = warmup_for(basis.rule, batch, basis.tuned_batch, samples,
                                     static_cast<double>(dataset_samples));
  }
  return rate;
}

}  // namespace

Result<Space> enumerate(const TrainingJob& job, std::int64_t dataset_samples,
                        const std::vector<Candidate>& candidates) {
  PLUTO_TRY(check(job, dataset_samples, candidates));
  const auto batches = global_batches(job);
  const auto reference = job.learning_rate_batch.value_or(batches.front());
  // Samples to the target at the reference batch.
  const double samples = job.epochs ? *job.epochs * static_cast<double>(dataset_samples)
                         : job.target_samples
                             ? static_cast<double>(*job.target_samples)
                             : static_cast<double>(*job.target_steps) *
                                   static_cast<double>(job.global_batch.value_or(reference));
  SamplesLaw law;
  const bool law_known = job.convergence.given() || job.samples_law;
  if (law_known) {
    PLUTO_ASSIGN(law, law_of(job));
  }
  const LearningRate schedule = schedule_of(job, dataset_samples);
  Space space;
  for (const auto batch : batches) {
    const BatchEffect effect = effect_of(job, law, batch, reference);
    const auto steps = steps_for(samples * effect.stretch, batch);
    RateBasis basis;
    basis.rule = resolved_rule(job.rate_rule, job.optimizer, law_known);
    basis.tuned_batch = reference;
    basis.tuned_peak = schedule.peak;
    const auto rate =
        rate_at(job, schedule, basis, effect, batch, samples * effect.stretch, dataset_samples);
    const RateBand band = rate_band(rate.peak, batch, reference, job.band_exponent.value_or(0));
    basis.low = band.low;
    basis.high = band.high;
    for (std::size_t c = 0; c < candidates.size(); ++c) {
      const int limit =
          std::min(candidates[c].max_ranks, job.max_ranks.value_or(candidates[c].max_ranks));
      const int first = job.ranks.value_or(job.min_ranks.value_or(1));
      const int last = job.ranks ? std::min(*job.ranks, candidates[c].max_ranks) : limit;
      for (int ranks = first; ranks <= last; ++ranks) {
        if (ranks > 1 && !can_synchronise(job)) break;
        std::vector<std::int64_t> micro;
        if (batch % ranks == 0) micro = micro_batches(job, batch / ranks);
        if (micro.empty()) {
          ++space.divisibility;
          continue;
        }
        space.placements.push_back(
            {c, ranks, batch, steps, rate, basis, effect.convergence, std::move(micro)});
      }
    }
  }
  return space;
}

Plan plan_of(const TrainingJob& job, const ModelGraph& model, std::int64_t dataset_samples,
             const Candidate& candidate, const Placement& placement, std::int64_t micro_batch) {
  const int devices = std::max(1, candidate.instance.node.devices);
  Plan plan;
  plan.job = job.name;
  plan.model = job.model;
  plan.model_fingerprint = model.graph.fingerprint();
  plan.data = job.data;
  plan.dataset_samples = dataset_samples;
  plan.cluster = {candidate.instance, (placement.ranks + devices - 1) / devices};
  plan.backend = candidate.backend;
  plan.threads_per_rank = candidate.threads_per_rank;
  plan.layout.data = placement.ranks;
  plan.global_batch = placement.global_batch;
  plan.micro_batch = micro_batch;
  plan.accumulation = placement.global_batch / placement.ranks / micro_batch;
  plan.steps = placement.steps;
  plan.convergence = placement.convergence;
  plan.optimizer = job.optimizer;
  plan.learning_rate = placement.learning_rate;
  plan.rate_basis = placement.rate_basis;
  plan.precision = job.precision;
  plan.attention = job.attention;
  plan.checkpoint_every = job.checkpoint_every;
  plan.evaluation = job.evaluation;
  plan.seed = job.seed;
  plan.budget = job.budget;
  plan.deadline = job.deadline;
  plan.confidence = job.confidence;
  return plan;
}

}  // namespace pluto
