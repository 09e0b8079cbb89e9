#pragma once
// From one plan to one Prediction: time, memory, price, probabilities.

#include <optional>

#include "costmodel/cost_source.h"
#include "costmodel/pipeline_simulator.h"
#include "costmodel/simulator.h"
#include "plan/allocator_replay.h"
#include "plan/plan.h"
#include "plan/prediction.h"

namespace pluto {

struct PredictedPlan {
  Prediction prediction;
  SimulatedStep step;
};

/// From one plan to its prediction. Pure and thread-safe.
///
/// Formula, step:   t = makespan + exposed_input (simulator.h), the sum of the terms.
/// Formula, time:   T = steps * t; ln T is normal with sigma^2 = sigma_step^2 + kRunSpread^2, where
/// sigma_step combines the
///   terms' spreads (combined_spread). p10, p50, p90 = T exp(-+1.2816 sigma), T.
/// Formula, price:  cluster price per hour * T, of whole nodes; its relative spread is that of T.
/// Formula, odds:   P(deadline) = Phi((ln D - ln T) / sigma), P(budget) likewise of the price.
/// Price and time are the same random
///   number, so P(both) = min(P(deadline), P(budget)). p_both is set when both limits are.
/// Source: lognormal errors as Srifty 2020 reports them; MLPerf reference runs for kRunSpread.
/// Valid for: plans whose steps are all
///   alike. Ignores: start-up, evaluation, checkpoints, a price that moves. Calibrated by: coverage
///   of p10..p90. Test: costmodel/predictor_test.cc.
/// Errors: those of validate() and lower().
Result<PredictedPlan> predict(const ModelGraph& model, const Plan& plan, const CostSource& costs);
/// As above for a plan already lowered; of a pipeline the memory is that of the stage that needs
/// most.
Result<PredictedPlan> predict(const LoweredPlan& lowered, const Plan& plan,
                              const CostSource& costs);
Result<PredictedPlan> predict(const LoweredPipeline& pipeline, const Plan& plan,
                              const CostSource& costs);

/// What a framework with a caching allocator would hold for the same plan on its device; nullopt:
/// it runs out of memory. Errors: those of lower(). Formula: replay_caching_allocator(), with the
/// workspaces the cost source knows.
Result<std::optional<FrameworkMemory>> predict_framework_memory(const ModelGraph& model,
                                                                const Plan& plan,
                                                                const CostSource& costs);

/// Standard deviation of ln(time to target) of a prediction. Formula: ln(p90 / p50) / 1.2816.
double sigma_of(const Prediction& prediction);

}  // namespace pluto
