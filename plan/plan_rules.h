#pragma once
// What makes a plan unlawful, by field: validate() and the reader of plan.json agree through this.

#include "plan/finding.h"
#include "plan/plan.h"

namespace pluto {

/// Paths are those of plan.json ("buckets[3].method"), in the order of its keys.
Verdict check_plan(const Plan& plan);

}  // namespace pluto
