#pragma once
// The market a plan is on, told: why, what an interruption costs, when it moves.

#include <string>
#include <vector>

#include "plan/job.h"
#include "planner/planner.h"

namespace pluto {

/// Of a plan on spot nodes: their price against on demand, how often they are taken back and what
/// each time costs, the checkpoint interval, when the run moves to on-demand nodes and what the
/// interruptions add. Of one on demand: its price an hour. Empty for machines of one's own.
/// Formula: an interruption costs wait + provisioning + boot + load + half an interval of work;
///   interval = sqrt(2 delta M / n) (spot_run.h). Test: planner/explain_market_test.cc.
std::vector<std::string> market_sentences(const Plan& plan, const Prediction& prediction);

/// Why the plan is on its market and not on the other: what the other would take, the limit it
/// breaks or by what it is worse; or that it was not asked for or is not offered. Empty for
/// machines of one's own.
std::string market_reason(const TrainingJob& job, const RankedPlan& chosen);

}  // namespace pluto
