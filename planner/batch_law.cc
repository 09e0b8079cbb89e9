#include "planner/batch_law.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace pluto {

Result<SamplesLaw> law_of(const TrainingJob& job) {
  if (job.samples_law) return *job.samples_law;
  const ConvergenceChoice& choice = job.convergence;
  SamplesLaw law;
  if (choice.critical_batch) {
    law.kind = LawKind::kStated;
    law.critical_batch = *choice.critical_batch;
    law.exponent = choice.exponent.value_or(1);
    law.source = fmt::format("critical batch {:.4g} of the job", law.critical_batch);
    return law;
  }
  if (choice.source == "fixed") {
    law.source = "as many epochs at every batch";
    return law;
  }
  if (choice.given()) {
    return invalid_input(
        fmt::format("convergence: {} was not looked up",
                    choice.noise_scale ? "the noise scale" : "source " + choice.source),
        "call look_up_convergence (planner/convergence_table.h) first");
  }
  return invalid_input("convergence: nothing says how samples depend on the batch",
                       "give critical_batch, noise_scale or source");
}

double rate_factor(const RateScaling& scaling, const OptimizerAttrs& optimizer, std::int64_t batch,
                   std::int64_t reference) {
  const auto b = static_cast<double>(batch), b0 = static_cast<double>(reference);
  const double k = b / b0;
  const double gain = std::clamp(k / scaling.samples_ratio, std::min(k, 1.0), std::max(k, 1.0));
  // Past the critical batch the rate stands still, wherever it was tuned.
  const double most = std::max(scaling.critical_batch.value_or(b), b0);
  const double root = std::sqrt(std::min(b, most) / b0);
  switch (scaling.rule) {
    case RateRule::kLinear:
      return k;
    case RateRule::kGain:
      return gain;
    case RateRule::kSquareRoot:
    case RateRule::kLamb:
      return root;
    case RateRule::kLars:
      return std::pow(k, scaling.lars_exponent);
    case RateRule::kAuto:
      break;
  }
  return std::holds_alternative<SgdAttrs>(optimizer) ? gain : root;
}

RateBand rate_band(double rate, std::int64_t batch, std::int64_t reference, double exponent) {
  const double width = std::pow(static_cast<double>(std::max(batch, reference)) /
                                    static_cast<double>(std::min(batch, reference)),
                                exponent);
  return {rate / width, rate, rate * width};
}

RateRule resolved_rule(RateRule rule, const OptimizerAttrs& optimizer, bool law_known) {
  if (rule != RateRule::kAuto) return rule;
  if (std::holds_alternative<AdamAttrs>(optimizer)) return RateRule::kSquareRoot;
  return law_known ? RateRule::kGain : RateRule::kLinear;
}

std::int64_t warmup_for(RateRule resolved, std::int64_t batch, std::int64_t reference,
                        double samples, double epoch) {
  constexpr double kLargeBatch = 8, kShare = 5.0 / 90, kEpochs = 5;
  constexpr double kLeastShare = 1.0 / 320, kMostShare = 0.2;
  const double k = static_cast<double>(batch) / static_cast<double>(reference);
  if (k <= 1) return 0;
  double warmup = 0;
  if (resolved == RateRule::kSquareRoot || resolved == RateRule::kLamb) {
    warmup = samples * std::min(kMostShare, k * kLeastShare);
  } else if (k >= kLargeBatch) {
    warmup = std::min(samples * kShare, kEpochs * epoch);
  }
  return static_cast<std::int64_t>(std::llround(warmup));
}

LearningRate scale_learning_rate(const LearningRate& schedule, double factor, double stretch) {
  LearningRate scaled_rate = scaled(schedule, factor);
  const auto stretched = [&](std::int64_t samples) {
    return static_cast<std::int64_t>(std::llround(static_cast<double>(samples) * stretch));
  };
  scaled_rate.warmup_samples = stretched(schedule.warmup_samples);
  for (auto& boundary : scaled_rate.boundaries) boundary = stretched(boundary);
  return scaled_rate;
}

LearningRate schedule_of(const TrainingJob& job, std::int64_t dataset_samples) {
  LearningRate schedule = job.learning_rate;
  if (job.step_epochs.empty()) return schedule;
  schedule.boundaries.clear();
  for (const double epoch : job.step_epochs) {
    schedule.boundaries.push_back(
        static_cast<std::int64_t>(std::llround(epoch * static_cast<double>(dataset_samples))));
  }
  return schedule;
}

std::int64_t steps_for(double samples, std::int64_t global_batch) {
  // A hair below a whole number of steps is rounding, not another step.
  const double steps = samples / static_cast<double>(global_batch);
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(steps - 1e-9 * steps)));
}

}  // namespace pluto
