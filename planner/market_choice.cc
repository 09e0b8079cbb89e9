#include "planner/market_choice.h"

#include <algorithm>
#include <utility>

#include "costmodel/run_cost.h"
#include "planner/ranking.h"

namespace pluto {

namespace {

bool offered(const InstanceType& instance) { return instance.spot_price && instance.rental; }

RankedPlan judged(const TrainingJob& job, RankedPlan ranked) {
  ranked.meets_limits = meets_deadline(job, ranked.prediction) &&
                        meets_budget(job, ranked.prediction) &&
                        fits_memory(ranked.plan, ranked.prediction);
  return ranked;
}

RankedPlan priced(const TrainingJob& job, RankedPlan ranked) {
  set_run(ranked.plan, ranked.prediction);
  return judged(job, std::move(ranked));
}

/// Those that meet the limits by the objective, before all others by how probable that is.
bool preferred(const TrainingJob& job, const RankedPlan& a, const RankedPlan& b) {
  if (a.meets_limits != b.meets_limits) return a.meets_limits;
  if (a.meets_limits) return better(job, a, b);
  return probability_of(a.prediction) > probability_of(b.prediction);
}

}  // namespace

bool offered_on_spot(const ClusterSpec& cluster) {
  return offered(cluster.instance) && std::ranges::all_of(cluster.more, [](const NodeGroup& group) {
           return offered(group.instance);
         });
}

DollarsPerHour least_price(const TrainingJob& job, const ClusterSpec& cluster) {
  ClusterSpec spot = cluster;
  spot.market = Market::kSpot;
  if (job.spot == SpotUse::kNever || !offered_on_spot(cluster)) return cluster.price();
  return job.spot == SpotUse::kOnly ? spot.price() : std::min(cluster.price(), spot.price());
}

CellBound least_run(const TrainingJob& job, const Plan& plan, Seconds step, Seconds compute) {
  Plan stays = plan;
  stays.cluster.market = Market::kOnDemand;
  stays.on_demand_after.reset();
  stays.checkpoint_every = 0;
  Prediction floor;
  floor.step_time = {step, step, step};
  floor.terms = {{"compute", compute, 0, Evidence::kMeasured}};
  set_run(stays, floor);
  CellBound bound{floor.time_to_target.p50, floor.price.p50};
  if (job.spot == SpotUse::kNever || !offered_on_spot(plan.cluster)) return bound;
  ClusterSpec spot = plan.cluster;
  spot.market = Market::kSpot;
  const Seconds billed = bound.time - plan.cluster.instance.rental->provisioning;
  const Dollars price = spot.price() * billed * (1 - kSampling);
  bound.price = job.spot == SpotUse::kOnly ? price : std::min(bound.price, price);
  return bound;
}

std::vector<RankedPlan> in_each_market(const TrainingJob& job, const RankedPlan& ranked) {
  std::vector<RankedPlan> plans;
  RankedPlan one = ranked;
  const bool given = one.plan.cluster.market == Market::kOnDemand;
  one.plan.cluster.market = Market::kOnDemand;
  one.plan.on_demand_after.reset();
  if (job.spot != SpotUse::kOnly) plans.push_back(given ? judged(job, one) : priced(job, one));
  if (job.spot == SpotUse::kNever || !offered_on_spot(one.plan.cluster)) return plans;

  one.plan.cluster.market = Market::kSpot;
  if (const auto every = spot_checkpoint_steps(one.plan, one.prediction)) {
    one.plan.checkpoint_every = *every;
  }
  const RankedPlan stays = priced(job, one);
  plans.push_back(stays);
  // Who moves pays more to be sooner: only where staying misses a limit and would be cheaper.
  const bool dearer =
      plans.size() > 1 && stays.prediction.price.p50 >= plans.front().prediction.price.p50;
  if (!one.plan.deadline || stays.meets_limits || dearer) return plans;
  RankedPlan best = stays;
  one.plan.on_demand_after = 0.5;
  if (!carries(job.targets, knobs_of(one.plan))) return plans;
  for (int tenth = 1; tenth <= 9; ++tenth) {
    one.plan.on_demand_after = tenth / 10.0;
    RankedPlan moves = priced(job, one);
    if (preferred(job, moves, best)) best = std::move(moves);
  }
  if (best.plan.on_demand_after) plans.push_back(std::move(best));
  return plans;
}

std::optional<RankedPlan> on_best_market(const TrainingJob& job, const RankedPlan& ranked) {
  std::vector<RankedPlan> plans = in_each_market(job, ranked);
  if (plans.empty()) return std::nullopt;
  return std::move(*std::ranges::min_element(
      plans, [&](const RankedPlan& a, const RankedPlan& b) { return preferred(job, a, b); }));
}

}  // namespace pluto
