#include "cli/plan_diff.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/sample_documents.h"

namespace pluto {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::sample_plan;
using testing::sample_prediction;
using ::testing::SizeIs;

/// The differences of the sample plan from itself with one change.
template <class Change>
std::vector<Difference> after(Change change) {
  Plan other = sample_plan();
  change(other);
  return plan_differences(sample_plan(), other);
}

TEST(PlanDiffTest, EqualPlansDifferInNothing) {
  EXPECT_THAT(plan_differences(sample_plan(), sample_plan()), IsEmpty());
}

TEST(PlanDiffTest, FieldsAreToldInWords) {
  EXPECT_THAT(after([](Plan& plan) { plan.global_batch = 512; }),
              ElementsAre(Difference{"global batch", "256", "512"}));
  EXPECT_THAT(after([](Plan& plan) { plan.layout.tensor = 2; }),
              ElementsAre(Difference{"layout", "4 ranks: data 4", "8 ranks: data 4 tensor 2"}));
  EXPECT_THAT(
      after([](Plan& plan) { plan.learning_rate.peak = 0.2; }),
      ElementsAre(Difference{
          "learning rate", "0.1 step, warm-up 6000 samples, 0.01 from 60000, 0.001 from 120000",
          "0.2 step, warm-up 6000 samples, 0.01 from 60000, 0.001 from 120000"}));
  EXPECT_THAT(after([](Plan& plan) { plan.optimizer = AdamAttrs{}; }),
              ElementsAre(::testing::Field(&Difference::first,
                                           "sgd, momentum 0.9 (nesterov), weight decay 0.0005")));
  EXPECT_THAT(after([](Plan& plan) { plan.deadline.reset(); }),
              ElementsAre(Difference{"deadline", "6h00m", "-"}));
  EXPECT_THAT(after([](Plan& plan) { plan.cluster.market = Market::kSpot; }),
              ElementsAre(Difference{"market", "on_demand", "spot"}));
  EXPECT_THAT(after([](Plan& plan) { plan.shard = 1; }), SizeIs(1));
}

TEST(PlanDiffTest, BucketsAreSummarised) {
  const auto found = after([](Plan& plan) {
    plan.buckets.erase(plan.buckets.begin() + 1);
    plan.buckets[0].parameters.push_back("fc1.weight");
    plan.buckets[0].wire = DType::kF16;
  });
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].field, "buckets");
  EXPECT_EQ(found[0].first,
            "all_reduce of 2 parameters in 1 bucket; parameter_server of 1 parameters in 1 bucket; "
            "sufficient_factor of 1 parameters in 1 bucket");
  EXPECT_EQ(found[0].second,
            "all_reduce of 3 parameters in 1 bucket, f16 on the wire; parameter_server of 1 "
            "parameters in 1 bucket");
}

TEST(PlanDiffTest, WhatTheWordsLeaveOutIsStillADifference) {
  EXPECT_THAT(after([](Plan& plan) { std::swap(plan.buckets[0], plan.buckets[1]); }),
              ElementsAre(::testing::Field(&Difference::second, "the same, arranged otherwise")));
}

TEST(PlanDiffTest, OtherInstancesAreToldByNameDevicesAndPrice) {
  const auto found = after([](Plan& plan) {
    InstanceType& instance = plan.cluster.instance;
    instance.name = "aws:p3.16xlarge";
    instance.node.device.name = "V100";
    instance.node.network.alpha = Seconds(1);
    instance.price = DollarsPerHour(10);
  });
  EXPECT_THAT(found, ElementsAre(Difference{"instance", "aws:p4d.24xlarge", "aws:p3.16xlarge"},
                                 Difference{"devices of a node", "8 x A100 SXM 40GB", "8 x V100"},
                                 Difference{"price of the nodes", "$43.92/h, 2026-11-20",
                                            "$20.00/h, 2026-11-20"}));
  // Of the same name only what changed is told.
  EXPECT_THAT(after([](Plan& plan) { plan.cluster.instance.price = DollarsPerHour(10); }),
              ElementsAre(Difference{"instance price usd per hour", "21.957642", "10.0"}));
}

// Nothing a plan holds can change unseen.
TEST(PlanDiffTest, EveryFieldCounts) {
  const std::vector<void (*)(Plan&)> changes = {
      [](Plan& p) { p.job = "x"; },
      [](Plan& p) { p.model.source = "x"; },
      [](Plan& p) { p.model_fingerprint = 1; },
      [](Plan& p) { p.data.readers = 7; },
      [](Plan& p) { p.dataset_samples = 7; },
      [](Plan& p) { p.cluster.nodes = 7; },
      [](Plan& p) { p.cluster.instance.node.intra.shared_by = 7; },
      [](Plan& p) {
        p.cluster.more.push_back({p.cluster.instance, 3});
      },
      [](Plan& p) { p.backend = "cpu"; },
      [](Plan& p) { p.threads_per_rank = 7; },
      [](Plan& p) { p.layout.context = 2; },
      [](Plan& p) { p.pipeline.interleave = 2; },
      [](Plan& p) { p.sequence_parallel = true; },
      [](Plan& p) { p.expert = 2; },
      [](Plan& p) { p.sharded = {"fc1"}; },
      [](Plan& p) { p.recompute = Recompute::kFull; },
      [](Plan& p) { p.precision = TrainPrecision::kBf16; },
      [](Plan& p) { p.attention = AttentionKernel::kScores; },
      [](Plan& p) { p.local.steps = 4; },
      [](Plan& p) { p.micro_batch = 1; },
      [](Plan& p) { p.accumulation = 1; },
      [](Plan& p) { p.steps = 1; },
      [](Plan& p) { p.convergence.spread = 0.5; },
      [](Plan& p) { p.rate_basis->high = 0.7; },
      [](Plan& p) { p.rate_basis.reset(); },
      [](Plan& p) { p.fuse = false; },
      [](Plan& p) { p.servers = {1}; },
      [](Plan& p) { p.server_nodes = 1; },
      [](Plan& p) { p.priority = true; },
      [](Plan& p) { p.checkpoint_every = 50; },
      [](Plan& p) { p.seed = 8; },
      [](Plan& p) { p.budget = Dollars(1); },
      [](Plan& p) { p.confidence = 0.5; },
  };
  for (std::size_t i = 0; i < changes.size(); ++i) {
    EXPECT_THAT(after(changes[i]), SizeIs(::testing::Ge(1U))) << "change " << i;
  }
}

TEST(PlanDiffTest, PredictionsAreComparedTermByTermAndByCategory) {
  Prediction other = sample_prediction();
  other.terms[0].time = Seconds(0.004);
  other.terms.push_back({"bubble", Seconds(0.001), 0.1, Evidence::kDatasheet});
  other.memory.activations = Bytes(12);
  other.p_budget.reset();
  Prediction now = sample_prediction();
  now.run_terms = {{"training", Seconds(7), Dollars(0.03), 0.1, Evidence::kDatasheet}};
  other.run_terms = {{"training", Seconds(3.5), Dollars(0.015), 0.1, Evidence::kDatasheet},
                     {"start_up", Seconds(60), Dollars(0.01), 0.1, Evidence::kAssumed}};
  const auto rows = change_rows(prediction_changes(now, other), "a", "b");
  EXPECT_THAT(rows, Contains(ElementsAre("  training", "7.00 s", "3.50 s", "-50.0 %")));
  EXPECT_THAT(rows, Contains(ElementsAre("  start_up", "-", "1m00s", "-")));
  EXPECT_THAT(rows, Contains(ElementsAre("  training", "$0.03", HasSubstr("$0.01"), "-50.0 %")));
  EXPECT_THAT(rows[0], ElementsAre("predicted", "a", "b", "change"));
  EXPECT_THAT(rows, Contains(ElementsAre("step", "11.0 ms", "11.0 ms", "+0.0 %")));
  EXPECT_THAT(rows, Contains(ElementsAre("  compute", "8.00 ms", "4.00 ms", "-50.0 %")));
  EXPECT_THAT(rows, Contains(ElementsAre("  bubble", "-", "1.00 ms", "-")));
  EXPECT_THAT(rows, Contains(ElementsAre("  activations", "6 B", "12 B", "+100.0 %")));
  EXPECT_THAT(rows, Contains(ElementsAre("P(budget)", "1.00", "-", "-")));
  for (const auto& row : rows) EXPECT_NE(row[0], "  exposed_input") << "zero in both";
}

TEST(PlanDiffTest, TheDocumentNamesPartsByWhatTheyArePartOf) {
  const Value list = to_value(prediction_changes(sample_prediction(), sample_prediction()));
  EXPECT_EQ(list.as_array()[1].find("what")->as_string(), "step: compute");
  EXPECT_EQ(list.as_array()[1].find("unit")->as_string(), "s");
  EXPECT_EQ(list.as_array()[1].find("relative")->as_number(), 0);
}

}  // namespace
}  // namespace pluto
