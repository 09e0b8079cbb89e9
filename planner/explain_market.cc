#include "planner/explain_market.h"

#include <fmt/format.h>

#include <algorithm>

#include "costmodel/run_cost.h"
#include "costmodel/spot_run.h"
#include "planner/market_choice.h"
#include "planner/ranking.h"

namespace pluto {

namespace {

std::string hourly(DollarsPerHour price) { return to_text(Dollars(price.value())); }

std::string dated(const InstanceType& instance) {
  return instance.price_date.empty() ? "undated" : instance.price_date;
}

std::string outcome(const Prediction& prediction) {
  return fmt::format("{} (p90 {}) and {} (p90 {})", to_text(prediction.time_to_target.p50),
                     to_text(prediction.time_to_target.p90), to_text(prediction.price.p50),
                     to_text(prediction.price.p90));
}

const char* name_of(Market market) { return market == Market::kSpot ? "on spot" : "on demand"; }

/// Why the other market was not taken.
std::string against(const TrainingJob& job, const RankedPlan& chosen, const RankedPlan& other) {
  const Prediction& it = other.prediction;
  if (!meets_deadline(job, it)) {
    return fmt::format("the deadline would be met with probability {:.2f}", *it.p_deadline);
  }
  if (!meets_budget(job, it)) {
    return fmt::format("the budget would be met with probability {:.2f}", *it.p_budget);
  }
  switch (job.minimize) {
    case Objective::kCost:
      return it.price.p50 > chosen.prediction.price.p50 ? "it costs more" : "it gains little";
    case Objective::kTime:
      return it.time_to_target.p50 > chosen.prediction.time_to_target.p50 ? "it takes longer"
                                                                          : "it gains little";
    case Objective::kRisk:
      return fmt::format("the limits would be met with probability {:.2f}", probability_of(it));
  }
  return {};
}

std::vector<std::string> spot_sentences(const Plan& plan, const Prediction& prediction) {
  ClusterSpec stays = plan.cluster;
  stays.market = Market::kOnDemand;
  std::vector<std::string> sentences = {fmt::format(
      "spot at {} an hour for all nodes, on demand {} (prices of {})", hourly(plan.cluster.price()),
      hourly(stays.price()), dated(plan.cluster.instance))};
  const auto run = spot_run_of(plan, prediction);
  if (!run) return sentences;
  const Interruptions& node = plan.cluster.instance.rental->interruptions;
  const bool kept = plan.checkpoint_every > 0 && plan.checkpoint_every < plan.steps;
  const Seconds back = run->wait + run->provisioning + run->boot + run->load;
  sentences.push_back(
      fmt::format("a node is taken back every {} ({}), one of all every {}; that costs {} until "
                  "the run goes on "
                  "and about {} of lost work",
                  to_text(node.between), to_text(node.evidence), to_text(run->between),
                  to_text(back), to_text(std::min(run->interval, run->between) / 2)));
  sentences.push_back(
      kept
          ? fmt::format("a checkpoint every {} steps ({}), which takes {}: sqrt(2 x writing x time "
                        "between interruptions)",
                        plan.checkpoint_every, to_text(run->interval), to_text(run->load))
          : "no checkpoint before the end: an interruption starts the run again");
  for (const RunTerm& term : prediction.run_terms) {
    if (term.name != "interruptions") continue;
    sentences.push_back(
        fmt::format("interruptions add {} and {} at the median; with bad luck the "
                    "run takes {} and {} (p90)",
                    to_text(term.time), to_text(term.price), to_text(prediction.time_to_target.p90),
                    to_text(prediction.price.p90)));
  }
  if (run->move_after) {
    sentences.push_back(
        fmt::format("what is not done after {} ({:.0f} % of the deadline) moves to on-demand nodes",
                    to_text(*run->move_after), 100 * *plan.on_demand_after));
  } else if (plan.deadline) {
    sentences.emplace_back("it stays on spot nodes to the end");
  }
  return sentences;
}

}  // namespace

std::vector<std::string> market_sentences(const Plan& plan, const Prediction& prediction) {
  if (!plan.cluster.instance.rental) return {};
  if (plan.cluster.market == Market::kSpot) return spot_sentences(plan, prediction);
  return {fmt::format("on demand at {} an hour for all nodes (prices of {})",
                      hourly(plan.cluster.price()), dated(plan.cluster.instance))};
}

std::string market_reason(const TrainingJob& job, const RankedPlan& chosen) {
  const Plan& plan = chosen.plan;
  if (!plan.cluster.instance.rental) return {};
  const Market market = plan.cluster.market;
  if (job.spot == SpotUse::kNever) return "on demand, as asked for";
  if (job.spot == SpotUse::kOnly) return "on spot, as asked for";
  if (!offered_on_spot(plan.cluster)) {
    return fmt::format("on demand: {} is not known to be offered on spot",
                       plan.cluster.instance.name);
  }
  RankedPlan one = chosen;
  one.plan.cluster.market = Market::kOnDemand;
  one.plan.on_demand_after.reset();
  one.plan.checkpoint_every = job.checkpoint_every;  // a spot market has its own
  set_run(one.plan, one.prediction);
  const RankedPlan* other = nullptr;
  const std::vector<RankedPlan> markets = in_each_market(job, one);
  for (const RankedPlan& candidate : markets) {
    if (candidate.plan.cluster.market == market) continue;
    if (!other || better(job, candidate, *other)) other = &candidate;
  }
  if (other == nullptr) return {};
  return fmt::format("{} and not {}, where it would take {}: {}", name_of(market),
                     name_of(other->plan.cluster.market), outcome(other->prediction),
                     against(job, chosen, *other));
}

}  // namespace pluto
