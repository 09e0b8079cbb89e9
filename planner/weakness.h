#pragma once
// What a prediction rests on least surely.

#include <string>

#include "plan/plan.h"
#include "plan/prediction.h"

namespace pluto {

/// What moves the time to the target most where it is wrong: a term of the step, or the number of
/// steps. "compute, datasheet (spread 35 %), 62 % of the step"; empty when nothing has a spread.
std::string weakest_assumption(const Plan& plan, const Prediction& prediction);

}  // namespace pluto
