#pragma once
// The inner choice: where pipeline stages begin.

#include <functional>
#include <optional>
#include <span>

#include "base/result.h"
#include "costmodel/cost_source.h"
#include "plan/plan.h"
#include "planner/stage_cuts.h"

namespace pluto {

/// `plan.pipeline` with its cuts filled in: of even_cuts() and cut_stages() on what the nodes cost,
/// those whose stages all fit in device memory before those that do not, then the shorter simulated
/// step, then even_cuts().
/// Formula: a layer is a forward node, with the backward nodes that belong to it; a cut is crossed
///   by every activation that is read behind it; a message takes latency + bytes / bandwidth, the
///   line through the costs of a message of one byte and of the largest one, between two nodes
///   unless all ranks are on one. A layer's states are its parameters, their gradients and
///   optimizer state, it keeps what its backward nodes read again; where stage_memory() does not
///   fit, cut_stages() is asked again for as much less. Interleaved chunks are cut as if each had
///   a stage of its own.
/// Valid for: plans that lower. Ignores: update and synchronisation, but for the simulated steps;
///   that a stage's ranks share their host with other stages'; workspace, and what a framework adds
///   to memory: predict() has them.
/// Test: planner/cut_choice_test.cc. Errors: those of lower_pipeline() with even cuts.
Result<PipelinePlan> choose_cuts(const ModelGraph& model, const Plan& plan,
                                 const CostSource& costs);

/// A way to cut a chain: cut_stages(), place_greedily(), anneal_cuts().
using CutSolver =
    std::function<Result<std::optional<StageCuts>>(std::span<const ChainLayer>, const CutRules&)>;

/// `plan.pipeline` with the cuts of this solver on the same chain, whose memory is the device's,
/// asked again as above while a stage does not fit in it. nullopt: it finds no cuts, or none that
/// fit or can be. Errors: those of the solver, and as above. Test:
/// planner/greedy_placement_test.cc.
Result<std::optional<PipelinePlan>> cuts_by(const CutSolver& solver, const ModelGraph& model,
                                            const Plan& plan, const CostSource& costs);

}  // namespace pluto
