#include "cli/plan_table.h"

#include <gtest/gtest.h>

namespace pluto {
namespace {

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

TEST(PlanTableTest, TheFirstRowIsMarkedAndTheBaselineComesLast) {
  const RankedPlan plan = example();
  const auto rows = plan_rows({plan, plan}, &plan);
  ASSERT_EQ(rows.size(), 4U);
  EXPECT_EQ(rows[1].front(), ">1");
  EXPECT_EQ(rows[2].front(), "2");
  EXPECT_EQ(rows[3].front(), "base");
  EXPECT_NE(std::find(rows[1].begin(), rows[1].end(), "128 = 2x16x4"), rows[1].end());
  EXPECT_NE(std::find(rows[1].begin(), rows[1].end(), "0.97"), rows[1].end());
  for (const auto& row : rows) EXPECT_EQ(row.size(), rows[0].size());
}

TEST(PlanTableTest, JsonCarriesThePrediction) {
  const Value value = plan_value(example());
  EXPECT_EQ(value.find("ranks")->as_integer(), 2);
  ASSERT_NE(value.find("prediction"), nullptr);
  EXPECT_NE(value.find("prediction")->find("step_s"), nullptr);
}

}  // namespace
}  // namespace pluto
