#include <gtest/gtest.h>

#include "plan/job.h"

namespace pluto {
namespace {

constexpr std::int64_t kTotal = 1000;

TEST(LearningRateTest, WordsOfSchedulesReadBack) {
  for (const auto kind : {ScheduleKind::kConstant, ScheduleKind::kCosine, ScheduleKind::kLinear,
                          ScheduleKind::kStep}) {
    EXPECT_EQ(*parse_schedule_kind(to_text(kind)), kind);
  }
  EXPECT_EQ(parse_schedule_kind("cosin").error().help, "did you mean \"cosine\"?");
}

TEST(LearningRateTest, ConstantIsThePeakThroughout) {
  const LearningRate rate{.peak = 0.3};
  for (const std::int64_t seen : {0, 1, 500, 1000, 2000}) {
    EXPECT_EQ(learning_rate_at(rate, seen, kTotal), 0.3);
  }
}

TEST(LearningRateTest, WarmupRisesLinearlyInSamples) {
  const LearningRate rate{.peak = 0.4, .warmup_samples = 200};
  EXPECT_EQ(learning_rate_at(rate, 0, kTotal), 0);
  EXPECT_DOUBLE_EQ(learning_rate_at(rate, 50, kTotal), 0.1);
  EXPECT_DOUBLE_EQ(learning_rate_at(rate, 199, kTotal), 0.4 * 199 / 200);
  EXPECT_EQ(learning_rate_at(rate, 200, kTotal), 0.4);
}

TEST(LearningRateTest, CosineFallsFromThePeakToZero) {
  const LearningRate rate{.peak = 0.2, .schedule = ScheduleKind::kCosine};
  EXPECT_DOUBLE_EQ(learning_rate_at(rate, 0, kTotal), 0.2);
  EXPECT_DOUBLE_EQ(learning_rate_at(rate, 250, kTotal), 0.1 * (1 + 0.70710678118654752440));
  EXPECT_DOUBLE_EQ(learning_rate_at(rate, 500, kTotal), 0.1);
  EXPECT_NEAR(learning_rate_at(rate, kTotal, kTotal), 0, 1e-17);
  EXPECT_NEAR(learning_rate_at(rate, 2 * kTotal, kTotal), 0, 1e-17) << "never rises again";
}

TEST(LearningRateTest, LinearFallsFromThePeakToZero) {
  const LearningRate rate{.peak = 0.2, .schedule = ScheduleKind::kLinear};
  EXPECT_DOUBLE_EQ(learning_rate_at(rate, 250, kTotal), 0.15);
  EXPECT_EQ(learning_rate_at(rate, kTotal, kTotal), 0);
  EXPECT_EQ(learning_rate_at(rate, 2 * kTotal, kTotal), 0) << "never negative";
}

TEST(LearningRateTest, DecayBeginsWhereWarmupEnds) {
  LearningRate rate{.peak = 0.2, .schedule = ScheduleKind::kLinear, .warmup_samples = 200};
  EXPECT_DOUBLE_EQ(learning_rate_at(rate, 200, kTotal), 0.2);
  EXPECT_DOUBLE_EQ(learning_rate_at(rate, 600, kTotal), 0.1);
  rate.schedule = ScheduleKind::kCosine;
  EXPECT_DOUBLE_EQ(learning_rate_at(rate, 200, kTotal), 0.2);
  EXPECT_DOUBLE_EQ(learning_rate_at(rate, 600, kTotal), 0.1);
}

TEST(LearningRateTest, StepsChangeAtTheirBoundaries) {
  const LearningRate rate{0.1, ScheduleKind::kStep, 0, {0.1, 0.01, 0.001}, {300, 600}};
  EXPECT_EQ(learning_rate_at(rate, 0, kTotal), 0.1);
  EXPECT_EQ(learning_rate_at(rate, 299, kTotal), 0.1);
  EXPECT_EQ(learning_rate_at(rate, 300, kTotal), 0.01);
  EXPECT_EQ(learning_rate_at(rate, 599, kTotal), 0.01);
  EXPECT_EQ(learning_rate_at(rate, 600, kTotal), 0.001);
  EXPECT_EQ(learning_rate_at(rate, 5000, kTotal), 0.001);
}

TEST(LearningRateTest, WarmupAppliesToSteps) {
  const LearningRate rate{0.1, ScheduleKind::kStep, 400, {0.1, 0.01}, {300}};
  EXPECT_DOUBLE_EQ(learning_rate_at(rate, 100, kTotal), 0.025);
  EXPECT_DOUBLE_EQ(learning_rate_at(rate, 350, kTotal), 0.01 * 350 / 400);
  EXPECT_EQ(learning_rate_at(rate, 400, kTotal), 0.01);
}

TEST(LearningRateTest, WarmupLongerThanTheRunStaysAWarmup) {
  const LearningRate rate{.peak = 0.2, .schedule = ScheduleKind::kCosine, .warmup_samples = 2000};
  EXPECT_DOUBLE_EQ(learning_rate_at(rate, 500, kTotal), 0.05);
  EXPECT_DOUBLE_EQ(learning_rate_at(rate, kTotal, kTotal), 0.1);
  // At its very end there is nothing left to decay over.
  const LearningRate whole{
      .peak = 0.2, .schedule = ScheduleKind::kLinear, .warmup_samples = kTotal};
  EXPECT_EQ(learning_rate_at(whole, kTotal, kTotal), 0);
}

TEST(LearningRateTest, ScalingCommutesWithTime) {
  const LearningRate steps{0.1, ScheduleKind::kStep, 100, {0.1, 0.05}, {300}};
  const LearningRate cosine{.peak = 0.1, .schedule = ScheduleKind::kCosine, .warmup_samples = 100};
  for (const LearningRate& rate : {steps, cosine}) {
    for (const std::int64_t seen : {0, 50, 100, 299, 300, 700}) {
      EXPECT_DOUBLE_EQ(learning_rate_at(scaled(rate, 4), seen, kTotal),
                       4 * learning_rate_at(rate, seen, kTotal));
    }
  }
}

}  // namespace
}  // namespace pluto
