#pragma once
// From a step to a run: time to the target, price, probabilities.

#include <optional>

#include "base/units.h"
#include "costmodel/spot_run.h"
#include "plan/plan.h"
#include "plan/prediction.h"

namespace pluto {

/// Sets steps, time_to_target, price, run_terms, the probabilities and the sentences of
/// `assumptions` that begin with "run: ", from step_time, terms and memory, whatever predicted
/// them. Pure; may be called again, for example after the market of the plan has changed.
///
/// Formula: T = start_up + steps t + evaluations + checkpoints (+ interruptions). start_up of
///   rented nodes: provisioning + boot. evaluations: n samples / global_batch compute / 3, n of
///   them steps / every, at least 1. checkpoints: writing time (checkpoint_time.h) steps / every,
///   at least 1. ln T is normal: the parts' deviations add in quadrature; that of the steps is
///   t steps sqrt(step^2 + max(kRunSpread, convergence)^2).
///   price = hourly price of all nodes * billed time + stored checkpoint * price of a gigabyte and
///   month * T / 30 days; billed time = T - provisioning, at least the minimum, rounded up to the
///   provider's step. Machines of one's own are billed as they run, without start-up.
///   P(T <= D) = Phi((ln D - ln T) / sigma). The price follows the time, so P(budget) = P(T <= the
///   longest time the budget pays) and P(both) is the smaller one.
///   On spot nodes with known interruptions: quantiles and probabilities over spot_outcomes(),
///   P(both) counted; the term "interruptions" is what the median adds to the other terms.
/// Source: log-normal errors as Srifty 2020 reports them; MLPerf reference runs for kRunSpread; a
///   third of the compute is forward; data/catalog/run_overheads.json for the rest.
/// Valid for: runs whose steps are alike. Ignores: failures of on-demand nodes, reading the
///   checkpoint of an earlier run, egress. Calibrated by: coverage of p10..p90. Test:
///   costmodel/run_cost_test.cc, costmodel/predictor_test.cc.
void set_run(const Plan& plan, Prediction& prediction);

/// The run as spot_outcomes() takes it; nullopt for plans on demand and for nodes whose
/// interruptions are not known.
std::optional<SpotRun> spot_run_of(const Plan& plan, const Prediction& prediction);

/// Steps between checkpoints that lose least on spot nodes: checkpoint_interval() over the step, at
/// least 1 and at most all. nullopt where the time to write one or the interruptions are not known.
std::optional<std::int64_t> spot_checkpoint_steps(const Plan& plan, const Prediction& prediction);

/// Standard deviation of ln(time to target) of a prediction. Formula: ln(p90 / p50) / 1.2816.
double sigma_of(const Prediction& prediction);
/// Likewise of the price.
double price_sigma_of(const Prediction& prediction);

}  // namespace pluto
