#pragma once
// The search: cells in the order of what they could be at best.

#include <functional>

#include "base/result.h"
#include "planner/plan_space.h"
#include "planner/planner.h"

namespace pluto {

/// Prices cells in the order of their bounds and ends when no cell left can be ranked, so the
/// ranking equals that of an exhaustive search (Lawler and Wood 1966: branch and bound). With
/// `want_front` it goes on until no cell left can be on the front of time and price. `stop` is
/// asked between cells; then the rest is reported by SearchResult::gap. Errors: those of the space.
/// Test: planner/search_oracle_test.cc, planner/transformer_space_test.cc (every plan tried).
Result<SearchResult> best_first(const TrainingJob& job, PlanSpace& space, bool want_front,
                                const std::function<bool()>& stop);

}  // namespace pluto
