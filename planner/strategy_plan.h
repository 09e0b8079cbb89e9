#pragma once
// Plans whose layout the job fixes: degrees, ranks and nodes that belong together.

#include <vector>

#include "base/result.h"
#include "planner/planner.h"

namespace pluto {

/// Where a fixed layout runs.
struct PlacedLayout {
  Layout layout;
  int nodes = 1;
};

/// Ranks are data x tensor x pipeline x context. Without ranks and data: all devices of the nodes,
/// or of as few nodes as tensor x pipeline x context need. `devices`: of a node. Errors:
/// kInvalidInput naming the setting, and values near it that work.
Result<PlacedLayout> place_layout(const TrainingJob& job, int devices);

/// One plan per lawful micro-batch, largest first, with all that the job fixes about its strategy
/// and without buckets: what the closed form prices. Errors: those of place_layout(); kInvalidInput
/// for a global batch that is not fixed or not shared evenly, and for settings that contradict
/// each other.
Result<std::vector<Plan>> plans_with_strategy(const TrainingJob& job, const ModelGraph& model,
                                              std::int64_t dataset_samples,
                                              const Candidate& candidate);

}  // namespace pluto
