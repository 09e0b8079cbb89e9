#pragma once
// What changes with the global batch: samples to the target, steps, learning rate.

#include <optional>

#include "base/result.h"
#include "plan/job.h"
#include "planner/convergence.h"

namespace pluto {

/// The law that the job's own numbers make, when nothing was looked up: job.samples_law, or the
/// stated critical batch, constant epochs. Errors: kInvalidInput where the job names a source that
/// was not looked up, or says nothing.
Result<SamplesLaw> law_of(const TrainingJob& job);

/// What the learning rate is multiplied with when the batch goes from B0 (`reference`) to B.
/// Formula, k = B / B0:
///   linear       k
///   gain         k E(B0) / E(B), between 1 and k: how much more a step is worth. For E = Emin (1 +
///                B/Bc) this is AdaScale's (1 + Bc/B0) / (1 + Bc/B): linear for B << Bc, constant
///                for B >> Bc
///   square_root, lamb   sqrt(k), standing still past max(Bc, B0)
///   lars         k^x, x = lars_exponent
///   auto         gain for SGD (linear where nothing is known of E), square_root for Adam
/// Source: Goyal et al. 2017 (linear); Johnson, Agrawal, Gu, Guestrin 2020 (gain); Malladi, Lyu,
/// Panigrahi, Arora 2022 (square root); You et al. 2020 (LAMB); exponent of LARS: MLPerf reference
/// points, data/convergence.json. Valid for: a rate tuned at B0. Ignores: momentum and betas, which
/// stay; the tuned rates of MLPerf scatter by +-0.3 in the exponent (RateBand). Test:
/// planner/batch_law_test.cc.
struct RateScaling {
  RateRule rule = RateRule::kAuto;
  double samples_ratio = 1;              ///< E(B) / E(B0); read by gain
  std::optional<double> critical_batch;  ///< nullopt: not known
  double lars_exponent = 0;
};
double rate_factor(const RateScaling& scaling, const OptimizerAttrs& optimizer, std::int64_t batch,
                   std::int64_t reference);

/// Where the best rate may lie. A short check of the rate at the chosen batch is worth its cost
/// where the band is wide.
struct RateBand {
  double low = 0, rate = 0, high = 0;
};
/// Formula: rate (B/B0)^+-x, x = `exponent` (TrainingJob::band_exponent). Source: learning rates
/// of MLPerf's reference points, whose exponents lie between 0 and 1. Test:
/// planner/batch_law_test.cc.
RateBand rate_band(double rate, std::int64_t batch, std::int64_t reference, double exponent);

/// The rule that `rule` comes to: auto is gain for SGD (linear where nothing is known of E) and
/// square_root for Adam; others are themselves.
RateRule resolved_rule(RateRule rule, const OptimizerAttrs& optimizer, bool law_known);

/// Warm-up, in samples, of a job that states none and whose rate goes from `reference` to `batch`;
/// of a run of `samples`, in epochs of `epoch`.
/// Formula, k = B / B0: 0 for k <= 1. linear, gain, lars: 0 below k = 8, then 5/90 of the run, at
///   most 5 epochs. square_root, lamb: min(1/5, k / 320) of the run.
/// Source: Goyal et al. 2017, section 2.2 (5 of 90 epochs, k from 8 up); You et al. 2020, appendix
///   (BERT: 1/320 of the steps at batch 512, doubling with it to 1/5 at 32,768). Valid for: rates
///   tuned without warm-up at B0. Ignores: what the model is. Test: planner/batch_law_test.cc.
std::int64_t warmup_for(RateRule resolved, std::int64_t batch, std::int64_t reference,
                        double samples, double epoch);

/// The schedule with its rates times `factor`, warm-up and boundaries times `stretch` (E(B) /
/// E(B0)), so that it keeps its shape.
LearningRate scale_learning_rate(const LearningRate& schedule, double factor, double stretch);

/// The job's schedule with the boundaries of learning_rate.steps in samples.
LearningRate schedule_of(const TrainingJob& job, std::int64_t dataset_samples);

/// Optimizer steps for so many samples; the last one may be larger than what is left of them. At
/// least 1.
std::int64_t steps_for(double samples, std::int64_t global_batch);

}  // namespace pluto
