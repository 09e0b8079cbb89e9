#pragma once
// The same plan on demand and on spot nodes.

#include <optional>
#include <vector>

#include "planner/plan_space.h"
#include "planner/planner.h"

namespace pluto {

/// Whether every node of the cluster is sold on spot and it is known how it is taken back.
bool offered_on_spot(const ClusterSpec& cluster);

/// The lowest price an hour that any of the markets the job allows can have.
DollarsPerHour least_price(const TrainingJob& job, const ClusterSpec& cluster);

/// What no run of `plan`, but for its market, can beat when its steps take at least `step`, of
/// which `compute` is forward and backward. Formula: set_run() of that step, without checkpoints.
/// On spot, where interruptions only add: the
///   spot price of that time without provisioning, less kSampling, for medians are of a sample.
/// Test: planner/market_choice_test.cc.
CellBound least_run(const TrainingJob& job, const Plan& plan, Seconds step, Seconds compute);
inline constexpr double kSampling = 0.01;

/// The plan on the markets that the job allows and its nodes are offered on, priced again by
/// set_run(): no step is simulated. In this order:
///   on demand, as given (cluster.market on_demand), unless the job says spot: only;
///   on spot nodes to the end, with a checkpoint every spot_checkpoint_steps();
///   with a deadline, on spot nodes that are left for on-demand ones when a fraction of it has
///   passed: the fraction of 0.1, 0.2 .. 0.9 that is best by the job's limits and objective, where
///   staying misses a limit, is cheaper than on demand, and moving is better than staying.
/// meets_limits is set for each. Empty when the job says spot: only and the nodes are not offered.
/// Takes about a millisecond per spot plan and fraction. Ignores: another number of nodes, which is
/// another plan. Test: planner/market_choice_test.cc.
std::vector<RankedPlan> in_each_market(const TrainingJob& job, const RankedPlan& ranked);

/// The best of them: those that meet the limits by better(), else the most probable to. nullopt
/// when there is none.
std::optional<RankedPlan> on_best_market(const TrainingJob& job, const RankedPlan& ranked);

}  // namespace pluto
