#include "planner/explain_market.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "costmodel/run_cost.h"
#include "costmodel/uncertainty.h"
#include "planner/market_choice.h"
#include "tests/support/sample_documents.h"
#include "tests/support/table_costs.h"

namespace pluto {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

/// Ten hours on one node of $20, $6 on spot, which is taken back every six hours.
RankedPlan ten_hours(std::optional<Seconds> deadline) {
  RankedPlan ranked;
  InstanceType& instance = (ranked.plan.cluster = testing::test_cluster(1, 1)).instance;
  instance.price = DollarsPerHour(20);
  instance.spot_price = DollarsPerHour(6);
  instance.price_date = "2026-11-20";
  instance.node.device.memory = Bytes(1'000'000'000'000);
  instance.rental = testing::sample_rental();
  instance.rental->interruptions.between = Seconds(6 * 3600);
  ranked.plan.steps = 36000;
  ranked.plan.deadline = deadline;
  ranked.prediction.step_time = lognormal_interval(Seconds(1), 0.08);
  ranked.prediction.memory.parameters = Bytes(2'000'000'000);
  set_run(ranked.plan, ranked.prediction);
  return ranked;
}

TEST(ExplainMarketTest, SpotSaysWhatAnInterruptionCostsAndWhatTheyAdd) {
  const TrainingJob job;
  const RankedPlan spot = *on_best_market(job, ten_hours({}));
  ASSERT_EQ(spot.plan.cluster.market, Market::kSpot);
  const auto said = market_sentences(spot.plan, spot.prediction);
  EXPECT_THAT(said, Contains(HasSubstr("spot at $6.00 an hour for all nodes, on demand $20.00")));
  // Wait 1 h, provisioning and boot 5 min, and the checkpoint read again.
  EXPECT_THAT(said, Contains(HasSubstr("a node is taken back every 6h00m (calibrated), one of all "
                                       "every 6h00m; that costs 1h05m")));
  EXPECT_THAT(said, Contains(HasSubstr("a checkpoint every " +
                                       std::to_string(spot.plan.checkpoint_every) + " steps")));
  EXPECT_THAT(said, Contains(HasSubstr("interruptions add ")));
  EXPECT_THAT(said, Not(Contains(HasSubstr("moves to"))));
  const std::string why = market_reason(job, spot);
  EXPECT_THAT(why, HasSubstr("on spot and not on demand, where it would take 10h"));
  EXPECT_THAT(why, HasSubstr("it costs more"));
}

TEST(ExplainMarketTest, ShortDeadlinesSayWhySpotIsNotTaken) {
  TrainingJob job;
  job.deadline = Seconds(11.5 * 3600);
  const RankedPlan best = *on_best_market(job, ten_hours(job.deadline));
  ASSERT_EQ(best.plan.cluster.market, Market::kOnDemand);
  EXPECT_THAT(market_reason(job, best), HasSubstr("on demand and not on spot"));
  EXPECT_THAT(market_reason(job, best), HasSubstr("the deadline would be met with probability 0."));
  EXPECT_THAT(market_sentences(best.plan, best.prediction),
              Contains(HasSubstr("on demand at $20.00 an hour")));
}

TEST(ExplainMarketTest, AMoveToOnDemandSaysWhen) {
  RankedPlan ranked = ten_hours(Seconds(20 * 3600));
  ranked.plan.cluster.market = Market::kSpot;
  ranked.plan.on_demand_after = 0.7;
  set_run(ranked.plan, ranked.prediction);
  EXPECT_THAT(market_sentences(ranked.plan, ranked.prediction),
              Contains("what is not done after 14h00m (70 % of the deadline) moves to on-demand "
                       "nodes"));
}

TEST(ExplainMarketTest, WhatWasAskedForOrIsNotOfferedIsSaid) {
  TrainingJob job;
  job.spot = SpotUse::kNever;
  RankedPlan ranked = ten_hours({});
  EXPECT_EQ(market_reason(job, ranked), "on demand, as asked for");
  job.spot = SpotUse::kAuto;
  ranked.plan.cluster.instance.spot_price.reset();
  EXPECT_THAT(market_reason(job, ranked), HasSubstr("is not known to be offered on spot"));
  ranked.plan.cluster.instance.rental.reset();
  EXPECT_THAT(market_reason(job, ranked), IsEmpty());
  EXPECT_THAT(market_sentences(ranked.plan, ranked.prediction), IsEmpty());
}

}  // namespace
}  // namespace pluto
