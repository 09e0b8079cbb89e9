#pragma once
// Model parallelism as the founding system did it: op after op, memory first, without looking back.

#include <optional>
#include <span>

#include "base/result.h"
#include "planner/stage_cuts.h"

namespace pluto {

/// The layers of a pre-run (their times and bytes measured, or predicted) on the devices in order.
/// A layer goes to the device that is being filled when it has the memory left; to the next one
/// when it has not, or when the device has its share of the measured time: when half the layer
/// would exceed what is left of the time over the devices left. Memory is first: while the layers
/// behind need more than the devices behind have, time does not end a device.
/// Formula: memory and step as in cut_stages() (planner/stage_cuts.h); what the devices behind can
///   hold is taken as their memory, one micro-batch kept.
/// Source: the rule of the founding system (Alibaba's Pluto: heuristic placement by memory with
///   pre-run measurements), whose details are not published: the share and the half are ours.
/// Valid for: as cut_stages(). Ignores: what crosses a cut; everything behind the layer at hand but
///   its sums. Not exact: what it costs is in bench/searchers.
/// Test: planner/greedy_placement_test.cc.
/// nullopt: a device overflows; other cuts may fit. Errors: those of cut_stages().
Result<std::optional<StageCuts>> place_greedily(std::span<const ChainLayer> layers,
                                                const CutRules& rules);

}  // namespace pluto
