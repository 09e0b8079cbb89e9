#include "planner/market_choice.h"

#include <gtest/gtest.h>

#include "costmodel/run_cost.h"
#include "costmodel/uncertainty.h"
#include "planner/ranking.h"
#include "tests/support/sample_documents.h"
#include "tests/support/table_costs.h"

namespace pluto {
namespace {

/// Ten hours on one node of $20, $6 on spot, which is taken back every six hours.
RankedPlan ten_hours() {
  RankedPlan ranked;
  InstanceType& instance = (ranked.plan.cluster = testing::test_cluster(1, 1)).instance;
  instance.price = DollarsPerHour(20);
  instance.spot_price = DollarsPerHour(6);
  instance.node.device.memory = Bytes(1'000'000'000'000);
  instance.rental = testing::sample_rental();
  instance.rental->interruptions.between = Seconds(6 * 3600);
  ranked.plan.steps = 36000;
  ranked.prediction.step_time = lognormal_interval(Seconds(1), 0.08);
  ranked.prediction.memory.parameters = Bytes(2'000'000'000);
  set_run(ranked.plan, ranked.prediction);
  return ranked;
}

TrainingJob limited(RankedPlan& ranked, double hours, double dollars) {
  TrainingJob job;
  job.deadline = ranked.plan.deadline = Seconds(hours * 3600);
  job.budget = ranked.plan.budget = Dollars(dollars);
  set_run(ranked.plan, ranked.prediction);
  return job;
}

TEST(MarketChoiceTest, TheJobSaysWhichMarkets) {
  RankedPlan ranked = ten_hours();
  TrainingJob job;
  const auto both = in_each_market(job, ranked);
  ASSERT_EQ(both.size(), 2U);
  EXPECT_EQ(both[0].plan.cluster.market, Market::kOnDemand);
  EXPECT_EQ(both[0].prediction.price, ranked.prediction.price) << "as given";
  EXPECT_EQ(both[1].plan.cluster.market, Market::kSpot);
  EXPECT_EQ(both[1].plan.checkpoint_every, spot_checkpoint_steps(both[1].plan, both[1].prediction));
  EXPECT_GT(both[1].plan.checkpoint_every, 0);
  EXPECT_LT(both[1].prediction.price.p50, both[0].prediction.price.p50);
  job.spot = SpotUse::kNever;
  EXPECT_EQ(in_each_market(job, ranked).size(), 1U);
  job.spot = SpotUse::kOnly;
  ASSERT_EQ(in_each_market(job, ranked).size(), 1U);
  EXPECT_EQ(in_each_market(job, ranked)[0].plan.cluster.market, Market::kSpot);
  ranked.plan.cluster.instance.spot_price.reset();
  EXPECT_TRUE(in_each_market(job, ranked).empty());
  EXPECT_FALSE(on_best_market(job, ranked).has_value());
  EXPECT_FALSE(offered_on_spot(ranked.plan.cluster));
}

TEST(MarketChoiceTest, NoMarketIsCheaperThanTheBound) {
  RankedPlan ranked = ten_hours();
  TrainingJob job;
  EXPECT_EQ(least_price(job, ranked.plan.cluster), DollarsPerHour(6));
  const Seconds least = ranked.prediction.step_time.p50 * static_cast<double>(ranked.plan.steps);
  for (const RankedPlan& one : in_each_market(job, ranked)) {
    EXPECT_GE(one.prediction.price.p50, least_price(job, ranked.plan.cluster) * least);
  }
  // A start-up, a deadline that makes some move, and a day that interrupts.
  for (const double hours : {10.0, 14.0, 40.0}) {
    for (const SpotUse use : {SpotUse::kAuto, SpotUse::kNever, SpotUse::kOnly}) {
      TrainingJob limits = limited(ranked, hours, 1000);
      limits.spot = use;
      const Prediction& given = ranked.prediction;
      const CellBound bound = least_run(limits, ranked.plan, given.step_time.p50, Seconds(0));
      EXPECT_GT(bound.time, least) << "nodes start";
      for (const RankedPlan& one : in_each_market(limits, ranked)) {
        EXPECT_LE(bound.price, one.prediction.price.p50) << hours;
        EXPECT_LE(bound.time, one.prediction.time_to_target.p50) << hours;
      }
    }
  }
  job.spot = SpotUse::kNever;
  EXPECT_EQ(least_price(job, ranked.plan.cluster), DollarsPerHour(20));
  job.spot = SpotUse::kAuto;
  ranked.plan.cluster.instance.rental.reset();
  EXPECT_EQ(least_price(job, ranked.plan.cluster), DollarsPerHour(20));
}

TEST(MarketChoiceTest, PlansStayLawful) {
  RankedPlan ranked = ten_hours();
  const TrainingJob job = limited(ranked, 16, 500);
  for (const RankedPlan& one : in_each_market(job, ranked)) {
    const auto& after = one.plan.on_demand_after;
    EXPECT_TRUE(!after || (*after > 0 && *after < 1 && one.plan.deadline &&
                           one.plan.cluster.market == Market::kSpot));
    EXPECT_EQ(one.prediction.steps, 36000);
  }
}

TEST(MarketChoiceTest, LongDeadlinesAreForSpotShortOnesAreNot) {
  RankedPlan ranked = ten_hours();
  TrainingJob job = limited(ranked, 100, 1000);
  RankedPlan best = *on_best_market(job, ranked);
  EXPECT_TRUE(best.meets_limits);
  EXPECT_EQ(best.plan.cluster.market, Market::kSpot);
  EXPECT_EQ(best.plan.on_demand_after, std::nullopt);
  job = limited(ranked, 11.5, 1000);
  best = *on_best_market(job, ranked);
  EXPECT_TRUE(best.meets_limits);
  EXPECT_EQ(best.plan.cluster.market, Market::kOnDemand);
}

TEST(MarketChoiceTest, BetweenThemTheRunMovesAndIsCheaperThanOnDemand) {
  RankedPlan ranked = ten_hours();
  const TrainingJob job = limited(ranked, 14.5, 1000);
  const auto plans = in_each_market(job, ranked);
  ASSERT_EQ(plans.size(), 3U);
  EXPECT_TRUE(plans[0].meets_limits);
  EXPECT_FALSE(plans[1].meets_limits) << "spot alone may end too late";
  ASSERT_TRUE(plans[2].plan.on_demand_after.has_value());
  EXPECT_TRUE(plans[2].meets_limits);
  EXPECT_LT(plans[2].prediction.price.p50, plans[0].prediction.price.p50 * 0.9);
  EXPECT_EQ(on_best_market(job, ranked)->plan, plans[2].plan);
}

TEST(MarketChoiceTest, WhatFitsNothingIsTheMostProbable) {
  RankedPlan ranked = ten_hours();
  const TrainingJob job = limited(ranked, 9, 1000);
  const RankedPlan best = *on_best_market(job, ranked);
  EXPECT_FALSE(best.meets_limits);
  for (const RankedPlan& one : in_each_market(job, ranked)) {
    EXPECT_GE(probability_of(best.prediction), probability_of(one.prediction));
  }
}

}  // namespace
}  // namespace pluto
