#include "planner/batch_law.h"

#include <gtest/gtest.h>

#include <cmath>

namespace pluto {
namespace {

TEST(SampleRatio, IsOneAtTheReferenceAndWithoutACriticalBatch) {
  EXPECT_EQ(sample_ratio(64, 64, 1000.0), 1);
  EXPECT_EQ(sample_ratio(4096, 64, std::nullopt), 1);
}

TEST(SampleRatio, AtTheCriticalBatchTwiceTheLeastSamplesAreNeeded) {
  EXPECT_NEAR(sample_ratio(1000, 0, 1000.0), 2, 1e-12);
  EXPECT_NEAR(sample_ratio(3000, 1000, 1000.0), 2, 1e-12);
}

TEST(SampleRatio, StepsAndSamplesLieOnTheHyperbola) {
  // (S/Smin - 1)(E/Emin - 1) = 1, McCandlish et al. 2018, eq. 2.11
  for (const std::int64_t batch : {16, 256, 5000}) {
    const double samples = sample_ratio(batch, 0, 512.0);
    const double steps = samples * 512.0 / static_cast<double>(batch);  // over Smin = Emin / Bc
    EXPECT_NEAR((steps - 1) * (samples - 1), 1, 1e-9);
  }
}

TEST(LearningRateScale, IsLinearForSgdWithoutACriticalBatch) {
  LearningRate rate;
  rate.peak = 0.1;
  EXPECT_DOUBLE_EQ(scale_learning_rate(rate, SgdAttrs{}, 256, 64, std::nullopt, 1).peak, 0.4);
}

TEST(LearningRateScale, IsTheGainForSgdAndLevelsOffPastTheCriticalBatch) {
  LearningRate rate;
  rate.peak = 1;
  const auto at = [&](std::int64_t batch) {
    return scale_learning_rate(rate, SgdAttrs{}, batch, 64, 6400.0, 1).peak;
  };
  EXPECT_NEAR(at(128), 2, 0.02);                // far below Bc: linear
  EXPECT_DOUBLE_EQ(at(6400), (1 + 100.0) / 2);  // at Bc: half of the limit
  EXPECT_NEAR(at(64 * 1000000), 101, 0.1);      // the limit
  EXPECT_EQ(at(64), 1);
}

TEST(LearningRateScale, IsTheSquareRootForAdamUpToTheCriticalBatch) {
  LearningRate rate;
  rate.peak = 1e-3;
  const auto at = [&](std::int64_t batch) {
    return scale_learning_rate(rate, AdamAttrs{}, batch, 64, 1024.0, 1).peak;
  };
  EXPECT_DOUBLE_EQ(at(256), 2e-3);
  EXPECT_DOUBLE_EQ(at(1024), 4e-3);
  EXPECT_DOUBLE_EQ(at(1 << 20), 4e-3);
  EXPECT_DOUBLE_EQ(at(16), 0.5e-3);
}

TEST(LearningRateScale, KeepsTheShapeOfTheSchedule) {
  LearningRate rate;
  rate.peak = 1;
  rate.schedule = ScheduleKind::kStep;
  rate.warmup_samples = 1000;
  rate.rates = {1, 0.1};
  rate.boundaries = {50'000};
  const auto scaled = scale_learning_rate(rate, SgdAttrs{}, 128, 64, std::nullopt, 1.5);
  EXPECT_EQ(scaled.warmup_samples, 1500);
  EXPECT_EQ(scaled.boundaries, (std::vector<std::int64_t>{75'000}));
  EXPECT_DOUBLE_EQ(scaled.rates[1], 0.2);
  EXPECT_EQ(scaled.schedule, ScheduleKind::kStep);
}

TEST(Steps, RoundUpAndAreAtLeastOne) {
  EXPECT_EQ(steps_for(1000, 64), 16);
  EXPECT_EQ(steps_for(1024, 64), 16);
  EXPECT_EQ(steps_for(0.5, 64), 1);
  // 0.1 * 3 * 640 is a hair above 192
  EXPECT_EQ(steps_for(0.1 * 3 * 640, 64), 3);
}

}  // namespace
}  // namespace pluto
