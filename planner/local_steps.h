#pragma once
// Averaging parameters every few steps instead of gradients in every one.

#include <optional>
#include <vector>

#include "plan/lowering.h"
#include "plan/plan.h"
#include "plan/prediction.h"

namespace pluto {

/// Post-local SGD at the ranks and batch of `plan`, whose prediction is given; nullopt where
/// exchanges that nothing hides are at most kHiddenEnough of the step, or where another strategy
/// splits the model.
/// Formula: H = the smallest power of two, at most kMostLocalSteps, with e / H <= kHiddenEnough (t
/// -
///   e + e / H), t the step and e its exposed exchange. Gradients are synchronised in every step
///   until warm-up is over and the rate first falls, at least kSynchronousShare of the run; then
///   parameters are averaged by all_reduce after every H steps. What it costs in samples has no
///   public table: they are taken as those of the global batch, ln(samples) spreads by kLocalSpread
///   more, assumed.
/// Source: Lin et al. 2020 (arXiv:1808.07217), post-local SGD.
/// Valid for: plans whose quality is checked in a short run besides. Ignores: that momentum and
///   batch statistics drift apart too; that averages can be hidden behind steps.
/// Test: planner/local_steps_test.cc.
std::optional<Plan> with_local_steps(const Plan& plan, const Prediction& prediction,
                                     const std::vector<GradientInfo>& gradients);
inline constexpr double kHiddenEnough = 0.05, kSynchronousShare = 0.1, kLocalSpread = 0.1;
inline constexpr int kMostLocalSteps = 64;

}  // namespace pluto
