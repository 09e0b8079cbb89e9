#pragma once
// What changes with the global batch: samples to the target, steps, learning rate.

#include <optional>

#include "plan/job.h"

namespace pluto {

/// Samples to the target at batch B over those at batch B0.
/// Formula: (1 + B/Bc) / (1 + B0/Bc); 1 without a critical batch. Source: McCandlish, Kaplan,
/// Amodei 2018, eq. 2.11
///   (E = Emin (1 + B/Bc)). Valid for: from-scratch training near the measured range; 5 % median
///   error to the next larger batch and 16 % beyond a factor 4 over MLPerf reference points.
///   Ignores: a sharper knee of well-tuned runs, fine-tuning. Calibrated by: the job's
///   critical_batch. Test: planner/batch_law_test.cc.
double sample_ratio(std::int64_t batch, std::int64_t reference,
                    std::optional<double> critical_batch);

/// The schedule for batch B of a schedule stated at batch B0.
/// Formula, SGD: rate times (1 + Bc/B0) / (1 + Bc/B), linear in B while B << Bc, constant when B >>
/// Bc; without Bc linear. Formula, Adam: rate times sqrt(B/B0), growing no further than Bc. Warm-up
/// and boundaries stretch by `stretch` (sample_ratio), so that the schedule keeps its shape.
/// Source: Johnson, Agrawal, Gu, Guestrin 2020 (AdaScale's gain); Malladi, Lyu, Panigrahi, Arora
/// 2022 (square root). Valid for: a rate tuned at B0. Ignores: momentum and betas, which stay.
/// Test: planner/batch_law_test.cc.
LearningRate scale_learning_rate(const LearningRate& schedule, const OptimizerAttrs& optimizer,
                                 std::int64_t batch, std::int64_t reference,
                                 std::optional<double> critical_batch, double stretch);

/// Optimizer steps for so many samples; the last one may be larger than what is left of them. At
/// least 1.
std::int64_t steps_for(double samples, std::int64_t global_batch);

}  // namespace pluto
