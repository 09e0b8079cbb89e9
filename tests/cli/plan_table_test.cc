#include "cli/plan_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.h"

namespace pluto {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;

std::vector<std::string> lines_of(const std::string& text) { return split(text, '\n'); }

RankedPlan example() {
  RankedPlan ranked;
  ranked.plan.cluster.instance.name = "local";
  ranked.plan.layout.data = 2;
  ranked.plan.micro_batch = 16;
  ranked.plan.accumulation = 4;
  ranked.plan.global_batch = 128;
  ranked.plan.buckets = {{SyncMethod::kSufficientFactor, {"fc.w", "fc.b"}},
                         {SyncMethod::kAllReduce, {"conv.w"}},
                         {SyncMethod::kAllReduce, {"conv2.w"}}};
  ranked.prediction.step_time = {Seconds(0.009), Seconds(0.010), Seconds(0.012)};
  ranked.prediction.terms = {{"compute", Seconds(0.008), 0.02, Evidence::kMeasured},
                             {"exposed_comm", Seconds(0.0018), 0.1, Evidence::kInterpolated},
                             {"exposed_input", Seconds(0.0002), 0.5, Evidence::kAssumed}};
  ranked.prediction.p_both = 0.97;
  return ranked;
}

TEST(PlanTableTest, PlacesNameTheirMarket) {
  Plan plan = example().plan;
  EXPECT_EQ(place_text(plan), "local");
  plan.cluster.market = Market::kSpot;
  EXPECT_EQ(place_text(plan), "local spot");
  plan.on_demand_after = 0.7;
  EXPECT_EQ(place_text(plan), "local spot to 70 %");
}

TEST(PlanTableTest, TheRunEndsWithItsSums) {
  Prediction prediction = example().prediction;
  prediction.run_terms = {{"training", Seconds(90), Dollars(2), 0.1, Evidence::kMeasured}};
  prediction.time_to_target = {Seconds(80), Seconds(90), Seconds(110)};
  prediction.price = {Dollars(1), Dollars(2), Dollars(3)};
  const auto rows = run_rows(prediction);
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(rows[1][2], "$2.00");
  EXPECT_EQ(rows[2][0], "to the target");
  for (const auto& row : rows) EXPECT_EQ(row.size(), rows[0].size());
}

TEST(PlanTableTest, SyncCountsParametersAndBucketsPerMethod) {
  EXPECT_EQ(sync_summary(example().plan), "allreduce(2p/2b)+sfb(2p/1b)");
  EXPECT_EQ(sync_summary(Plan{}), "none");
}

TEST(PlanTableTest, EvidenceLeavesOutTermsBelowFivePercent) {
  EXPECT_EQ(evidence_summary(example().prediction), "compute M comm I");
}

TEST(PlanTableTest, HasTheColumnsThatDecide) {
  const RankedPlan plan = example();
  const auto tables = plan_tables({plan, plan}, &plan, 0);
  ASSERT_EQ(tables.size(), 1U);
  const auto& rows = tables.front();
  ASSERT_EQ(rows.size(), 4U);
  EXPECT_THAT(rows[0],
              ElementsAre("#", "instance x nodes", "market", "batch", "lr", "sync", "step",
                          "time p50 (p90)", "price p50 (p90)", "memory", "P(both)", "evidence"));
  EXPECT_EQ(rows[1].front(), ">1") << "the chosen one is marked";
  EXPECT_EQ(rows[2].front(), "2");
  EXPECT_EQ(rows[3].front(), "base") << "the baseline comes last";
  EXPECT_THAT(rows[1], Contains("local x 1"));
  EXPECT_THAT(rows[1], Contains("own"));
  EXPECT_THAT(rows[1], Contains("128 = 2x16x4"));
  EXPECT_THAT(rows[1], Contains("0.97"));
  for (const auto& row : rows) EXPECT_EQ(row.size(), rows[0].size());
}

TEST(PlanTableTest, TheLayoutIsAColumnWhereAPlanHasOne) {
  RankedPlan sharded = example();
  sharded.plan.layout.tensor = 2;
  const auto tables = plan_tables({example(), sharded}, nullptr, 0);
  EXPECT_EQ(tables.front()[0][3], "layout");
  EXPECT_EQ(tables.front()[2][3], "data 2 tensor 2");
}

TEST(PlanTableTest, FitsTheWindow) {
  RankedPlan wide = example();
  wide.plan.cluster.instance.name = "aws:p4d.24xlarge";
  wide.plan.cluster.market = Market::kSpot;
  wide.plan.on_demand_after = 0.8;
  wide.plan.shard = 1;
  const std::vector<RankedPlan> plans = {wide, wide};
  std::size_t last = 0;
  for (const int width : {200, 150, 120, 80}) {
    const auto tables = plan_tables(plans, &wide, width);
    last = tables.size();
    for (const auto& rows : tables) {
      ASSERT_EQ(rows.size(), 4U);
      for (std::string line : lines_of(format_table(rows))) {
        EXPECT_LE(line.size(), static_cast<std::size_t>(width)) << line;
      }
    }
  }
  EXPECT_EQ(last, 2U) << "at 80 columns where it runs stands above how";
}

TEST(PlanTableTest, MarketsAreNamed) {
  Plan plan = example().plan;
  EXPECT_EQ(market_text(plan), "own");
  plan.cluster.instance.rental = RentalTerms{};
  EXPECT_EQ(market_text(plan), "on demand");
  plan.cluster.market = Market::kSpot;
  EXPECT_EQ(market_text(plan), "spot");
  plan.on_demand_after = 0.7;
  EXPECT_EQ(market_text(plan), "spot to 70 %");
}

TEST(PlanTableTest, JsonSaysWhatTheRateFollowsFrom) {
  RankedPlan plan = example();
  EXPECT_TRUE(plan_value(plan).find("rate_basis")->is_null());
  plan.plan.rate_basis = RateBasis{RateRule::kLars, 256, 0.1, 0.2, 0.4};
  plan.plan.learning_rate.warmup_samples = 640;
  const Value value = plan_value(plan);
  EXPECT_EQ(value.find("warmup_samples")->as_integer(), 640);
  EXPECT_EQ(value.find("rate_basis")->find("rule")->as_string(), "lars");
  EXPECT_EQ(value.find("rate_basis")->find("low")->as_number(), 0.2);
  EXPECT_EQ(value.find("rate_basis")->find("high")->as_number(), 0.4);
}

TEST(PlanTableTest, JsonCarriesThePrediction) {
  const Value value = plan_value(example());
  EXPECT_EQ(value.find("ranks")->as_integer(), 2);
  ASSERT_NE(value.find("prediction"), nullptr);
  EXPECT_NE(value.find("prediction")->find("step_s"), nullptr);
}

}  // namespace
}  // namespace pluto
