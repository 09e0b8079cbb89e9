#pragma once
// From one plan to one Prediction: time, memory, price, probabilities.

#include <optional>

#include "costmodel/cost_source.h"
#include "costmodel/pipeline_simulator.h"
#include "costmodel/run_cost.h"
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
/// Formula, run:    set_run(), with the spread of the step that combines the terms' spreads
///   (combined_spread).
/// Formula, nodes of several types: each type is simulated as if all ranks were of it, behind the
///   slowest of all links (views_by_group); the step is the slowest's, the price that of all nodes.
/// Local steps: the step is the mean between two averages; post-local plans: the mean over the run
/// of the two kinds of steps, weighted by their number, ceil(synchronous_samples / global_batch) of
/// them synchronous, and the larger memory of both.
/// Valid for: plans whose steps are all
///   alike. Calibrated by: coverage of p10..p90. Test: costmodel/predictor_test.cc.
/// Errors: those of validate() and lower().
Result<PredictedPlan> predict(const ModelGraph& model, const Plan& plan, const CostSource& costs);
/// As above for a plan already lowered; of a pipeline the memory is that of the stage that needs
/// most.
Result<PredictedPlan> predict(const LoweredPlan& lowered, const Plan& plan, const CostSource& costs,
                              const SimulateOptions& options = {});
Result<PredictedPlan> predict(const LoweredPipeline& pipeline, const Plan& plan,
                              const CostSource& costs);

/// What a framework with a caching allocator would hold for the same plan on its device; nullopt:
/// it runs out of memory. Errors: those of lower(). Formula: replay_caching_allocator(), with the
/// workspaces the cost source knows.
Result<std::optional<FrameworkMemory>> predict_framework_memory(const ModelGraph& model,
                                                                const Plan& plan,
                                                                const CostSource& costs);

}  // namespace pluto
