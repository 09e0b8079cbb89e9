#include "planner/explain_rate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/sample_documents.h"

namespace pluto {
namespace {

using ::testing::ElementsAre;

TEST(ExplainRateTest, StatesRuleBandAndWarmUpInSamples) {
  Plan plan = testing::sample_plan();
  plan.learning_rate = {0.7726, ScheduleKind::kCosine, 71176, {}, {}};
  plan.global_batch = 2048;
  plan.rate_basis = RateBasis{RateRule::kGain, 256, 0.1, 0.414, 1.4421};
  EXPECT_THAT(rate_sentences(plan),
              ElementsAre("0.7726 at global batch 2048, by the rule gain from 0.1 at 256",
                          "the best rate may lie between 0.414 and 1.44",
                          "cosine after a warm-up of 71176 samples (35 steps)"));
}

TEST(ExplainRateTest, WhatIsAsStatedHasNoBand) {
  Plan plan = testing::sample_plan();
  plan.learning_rate = {0.1, ScheduleKind::kConstant, 0, {}, {}};
  plan.rate_basis = RateBasis{RateRule::kGain, plan.global_batch, 0.1, 0.1, 0.1};
  EXPECT_THAT(rate_sentences(plan),
              ElementsAre("0.1 at global batch 256, as the job states it", "constant, no warm-up"));
  plan.rate_basis.reset();
  EXPECT_THAT(rate_sentences(plan), ElementsAre("0.1 at global batch 256", "constant, no warm-up"));
}

}  // namespace
}  // namespace pluto
