#pragma once
// The learning rate of a plan, told: what it follows from, where the best may lie, its warm-up.

#include <string>
#include <vector>

#include "plan/plan.h"

namespace pluto {

/// "0.773 at global batch 2048, by the rule gain from 0.1 at 256", "the best rate may lie between
/// 0.41 and 1.44", "cosine after a warm-up of 71176 samples (35 steps)": the rate with its rule,
/// the band where the batch is not the tuned one, the schedule. Nothing of the rule and the band
/// where the plan does not say.
std::vector<std::string> rate_sentences(const Plan& plan);

}  // namespace pluto
