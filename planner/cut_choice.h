#pragma once
// The inner choice: where pipeline stages begin.

#include "base/result.h"
#include "costmodel/cost_source.h"
#include "plan/plan.h"

namespace pluto {

/// `plan.pipeline` with its cuts filled in: those with the shorter simulated step of even_cuts()
/// and cut_stages() on what the nodes cost, even_cuts() where both are as fast. Formula: a layer is
/// a forward node, with the backward nodes that belong to it; a cut is crossed
///   by every activation that is read behind it; a message takes latency + bytes / bandwidth, the
///   line through the costs of a message of one byte and of the largest one, between two nodes
///   unless all ranks are on one. Interleaved chunks are cut as if each had a stage of its own.
/// Valid for: plans that lower. Ignores: memory, which predict() checks afterwards; update and
///   synchronisation, but for the two simulated steps; that a stage's ranks share their host with
///   other stages'.
/// Test: planner/cut_choice_test.cc. Errors: those of lower_pipeline() with even cuts.
Result<PipelinePlan> choose_cuts(const ModelGraph& model, const Plan& plan,
                                 const CostSource& costs);

}  // namespace pluto
