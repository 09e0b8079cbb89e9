#pragma once
// What of a plan this executor can run.

#include "base/result.h"
#include "plan/plan.h"

namespace pluto {

/// Errors: kUnsupported naming the field of the first strategy that is priced but has no code here
/// yet: it would otherwise run as something else.
Result<void> check_runnable(const Plan& plan);

}  // namespace pluto
