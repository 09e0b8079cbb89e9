#include "cli/explanation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/sample_documents.h"

namespace pluto {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::sample_plan;
using testing::sample_prediction;

TEST(ExplanationTest, LimitsAreUsedAtThePlansConfidence) {
  Plan plan = sample_plan();
  Prediction prediction = sample_prediction();
  plan.confidence = 0.9;
  const auto uses = limit_uses(plan, prediction);
  ASSERT_EQ(uses.size(), 3U);
  EXPECT_EQ(uses[0].name, "memory");
  EXPECT_EQ(uses[0].used, 123456789 + 36);
  EXPECT_EQ(uses[1].name, "deadline");
  EXPECT_NEAR(uses[1].used, 8.8, 1e-6) << "the 90 % point";
  EXPECT_NEAR(uses[2].used, 0.06, 1e-8);
  EXPECT_NEAR(uses[2].share(), 0.06 / 120, 1e-10);
  plan.confidence = 0.5;
  EXPECT_NEAR(limit_uses(plan, prediction)[1].used, 7.7, 1e-6) << "the median";
  plan.budget.reset();
  plan.deadline.reset();
  EXPECT_EQ(limit_uses(plan, prediction).size(), 1U);
  prediction.price = {};
  plan.budget = Dollars(1);
  EXPECT_EQ(limit_uses(plan, prediction)[1].used, 0) << "what is free stays free";
}

TEST(ExplanationTest, SaysWhatTheStepIsMadeOfAndWhichLimitIsNearest) {
  Plan plan = sample_plan();
  plan.deadline = Seconds(10);
  auto binds = binding_sentences(sample_prediction(), limit_uses(plan, sample_prediction()));
  EXPECT_THAT(binds, ElementsAre("a step of 11.0 ms is 73 % compute, 18 % exposed_comm, 9 % update",
                                 HasSubstr("of the memory most is the process besides: 118 MiB"),
                                 HasSubstr("deadline has least room: ")));
  plan.deadline = Seconds(5);
  binds = binding_sentences(sample_prediction(), limit_uses(plan, sample_prediction()));
  EXPECT_THAT(binds[2], HasSubstr("deadline is exceeded: "));
}

std::vector<std::string> names(const Plan& plan) {
  std::vector<std::string> all;
  for (const Assumption& one : assumptions_of(plan)) all.push_back(one.what);
  return all;
}

TEST(ExplanationTest, LinksThatNoRankUsesAreLeftOut) {
  Plan plan = sample_plan();
  EXPECT_THAT(names(plan), ElementsAre("device speed", "bandwidth within a node",
                                       "price of an hour", "samples to the target"));
  plan.layout.data = 16;
  EXPECT_THAT(names(plan), ::testing::Contains("network bandwidth"));
  plan.layout.data = 1;
  EXPECT_THAT(names(plan),
              ElementsAre("device speed", "price of an hour", "samples to the target"));
}

// Each name changes what it names.
TEST(ExplanationTest, WorldsAreThoseNamed) {
  Plan plan = sample_plan();
  plan.layout.data = 16;
  for (const Assumption& one : assumptions_of(plan)) {
    const WhatIf world = one.world(3);
    EXPECT_EQ(world.device_speed == 3, one.what == "device speed");
    EXPECT_EQ(world.node_bandwidth == 3, one.what == "bandwidth within a node");
    EXPECT_EQ(world.network_bandwidth == 3, one.what == "network bandwidth");
    EXPECT_EQ(world.price == 3, one.what == "price of an hour");
    EXPECT_EQ(world.samples == 3, one.what == "samples to the target");
  }
}

TEST(ExplanationTest, TheTableHasBothDirectionsWithTheirChange) {
  const Prediction now = sample_prediction();
  Prediction longer = now, shorter = now;
  longer.time_to_target.p50 = now.time_to_target.p50 * 1.1;
  shorter.price.p50 = now.price.p50 * 0.9;
  const auto rows = sensitivity_rows(now, {{"device speed", longer, shorter}});
  EXPECT_THAT(rows[0], ElementsAre("what changes", "time at -10 %", "time at +10 %",
                                   "price at -10 %", "price at +10 %", "P at -10 %", "P at +10 %"));
  EXPECT_THAT(rows[1], ElementsAre("device speed", "8.47 s (+10.0 %)", "7.70 s (+0.0 %)",
                                   "$0.05 (+0.0 %)", HasSubstr("(-10.0 %)"), "0.98", "0.98"));
}

}  // namespace
}  // namespace pluto
