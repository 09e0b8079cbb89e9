#pragma once
// A run on nodes that the provider can take back: how long it takes and what it costs, as a
// distribution.

#include <optional>
#include <vector>

#include "base/units.h"

namespace pluto {

/// Work between two checkpoints that loses least.
/// Formula: tau = sqrt(2 delta M), delta the time to write one, M the mean time between
///   interruptions of the job (of a node over their number, when all wait for each).
/// Source: Young 1974, eq. 5; the first order of Daly 2006, eq. 20. Valid for: delta well below M,
///   interruptions without memory. Ignores: warnings before an interruption. Test:
///   costmodel/spot_run_test.cc.
Seconds checkpoint_interval(Seconds writing, Seconds between);

/// What checkpoints, lost work and restarts add, as a share of the work.
/// Formula: delta/tau + tau/(2 M) + R/M, R what a restart takes. Source: Daly 2006, first order.
/// Valid for: tau well below M. Test: as above.
double interruption_overhead(Seconds writing, Seconds interval, Seconds restart, Seconds between);

/// What a run on spot nodes depends on.
struct SpotRun {
  Seconds work;       ///< median time to the target of nodes that stay, checkpoints included
  double spread = 0;  ///< of ln(work)
  Seconds interval;   ///< of work between checkpoints, writing one included; work: none is written
  Seconds between;    ///< mean time between interruptions of the job
  double between_spread = 0;       ///< of ln(between)
  double available = 1;            ///< probability that nodes can be had at once at the beginning
  Seconds wait;                    ///< mean time until nodes can be had again
  Seconds provisioning;            ///< of every start, not billed
  Seconds boot;                    ///< of every start, billed
  Seconds load;                    ///< of the last checkpoint, after an interruption
  DollarsPerHour spot, on_demand;  ///< of all nodes
  double price_spread = 0;         ///< of ln(spot price)
  /// Since the beginning: when a run that is not done writes a checkpoint and moves to on-demand
  /// nodes for good. Unset: never.
  std::optional<Seconds> move_after;
};

struct RunOutcome {
  Seconds time;   ///< from the request for nodes to the target
  Dollars price;  ///< of all nodes
};

inline constexpr int kSpotRuns = 1024;

/// kSpotRuns equally probable runs.
///
/// Formula: work W = work exp(spread z); segments of `interval` c are repeated when an
///   interruption, exponential with mean M, comes first: the number of interruptions is negative
///   binomial with W/c successes of probability exp(-c/M); each loses U, the part of a segment done
///   by then, with E U = M - c/(e^x - 1) and E U^2 = M^2 (2 - (x^2 + 2x)/(e^x - 1)), x = c/M, then
///   waits (exponential with mean `wait`), starts and loads. T = start + W + sum of these. The sums
///   of U and of waits are gamma with matched moments. M and the spot price vary from run to run,
///   log-normal. A run not done at move_after has made progress in proportion; then T = move_after
///   + start + load + checkpoint + rest of the work. Waiting and provisioning are not billed.
/// Source: Daly 2006 for the segments; the move is the safety net of Wu et al. 2024 ("Can't Be
///   Late", NSDI), at a fixed time instead of when the slack is gone.
/// Valid for: synchronous training, where one node taken stops all and all are given back.
/// Ignores: interruptions while starting, lifetimes with a maximum age, prices that move with
///   scarcity. Calibrated by: nothing yet.
/// Draws are a Halton sequence, so the answer is the same each time. Test:
///   costmodel/spot_run_test.cc simulates the policy event by event.
std::vector<RunOutcome> spot_outcomes(const SpotRun& run);

}  // namespace pluto
