#pragma once
// Stage cuts by simulated annealing.

#include <optional>
#include <span>

#include "base/result.h"
#include "planner/annealing.h"
#include "planner/stage_cuts.h"

namespace pluto {

/// From place_greedily(), or where that finds nothing from as many layers on each stage, one cut
/// moved at a time by up to a stage's worth of layers; what does not fit in memory has no energy.
/// A start that does not fit is first annealed to one that does, with at most half the
/// evaluations. For problems that cut_stages() has no formula for, and to compare with it.
/// Formula: as cut_stages(); moves: uniform. Not exact. Test: planner/annealed_cuts_test.cc.
/// nullopt: none was seen that fits. Errors: those of cut_stages().
Result<std::optional<StageCuts>> anneal_cuts(std::span<const ChainLayer> layers,
                                             const CutRules& rules, const AnnealingRules& walk);

}  // namespace pluto
