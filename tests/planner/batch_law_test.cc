#include "planner/batch_law.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace pluto {
namespace {

using ::testing::HasSubstr;

/// Factor of a law with p = 1.
double factor(RateRule rule, const OptimizerAttrs& optimizer, std::int64_t batch,
              std::int64_t reference, std::optional<double> critical_batch) {
  RateScaling scaling;
  scaling.rule = rule;
  scaling.critical_batch = critical_batch;
  scaling.lars_exponent = 0.3;
  if (critical_batch) {
    scaling.samples_ratio = (1 + static_cast<double>(batch) / *critical_batch) /
                            (1 + static_cast<double>(reference) / *critical_batch);
  }
  return rate_factor(scaling, optimizer, batch, reference);
}

TEST(RateFactor, IsLinearForSgdWhereNothingIsKnown) {
  EXPECT_DOUBLE_EQ(factor(RateRule::kAuto, SgdAttrs{}, 256, 64, std::nullopt), 4);
  EXPECT_DOUBLE_EQ(factor(RateRule::kAuto, SgdAttrs{}, 16, 64, std::nullopt), 0.25);
}

TEST(RateFactor, IsTheGainForSgdAndLevelsOffPastTheCriticalBatch) {
  const auto at = [](std::int64_t batch) {
    return factor(RateRule::kAuto, SgdAttrs{}, batch, 64, 6400.0);
  };
  EXPECT_NEAR(at(128), 2, 0.02);                // far below Bc: linear
  EXPECT_DOUBLE_EQ(at(6400), (1 + 100.0) / 2);  // at Bc: half of the limit
  EXPECT_NEAR(at(64 * 1000000), 101, 0.1);      // the limit
  EXPECT_EQ(at(64), 1);
  EXPECT_NEAR(at(6400), (1 + 6400 / 64.0) / (1 + 6400 / 6400.0), 1e-12) << "AdaScale's formula";
}

TEST(RateFactor, StaysBetweenNothingAndLinearWhateverThePointsSay) {
  RateScaling scaling;
  scaling.samples_ratio = 0.5;  // fewer samples at the larger batch
  EXPECT_DOUBLE_EQ(rate_factor(scaling, SgdAttrs{}, 128, 64), 2);
  scaling.samples_ratio = 5;  // more steps at the larger batch
  EXPECT_DOUBLE_EQ(rate_factor(scaling, SgdAttrs{}, 128, 64), 1);
}

TEST(RateFactor, IsTheSquareRootForAdamUpToTheCriticalBatch) {
  const auto at = [](std::int64_t batch) {
    return factor(RateRule::kAuto, AdamAttrs{}, batch, 64, 1024.0);
  };
  EXPECT_DOUBLE_EQ(at(256), 2);
  EXPECT_DOUBLE_EQ(at(1024), 4);
  EXPECT_DOUBLE_EQ(at(1 << 20), 4);
  EXPECT_DOUBLE_EQ(at(16), 0.5);
}

TEST(RateFactor, RulesHoldForAnyOptimizer) {
  for (const OptimizerAttrs& optimizer :
       {OptimizerAttrs(SgdAttrs{}), OptimizerAttrs(AdamAttrs{})}) {
    const auto at = [&](RateRule rule) { return factor(rule, optimizer, 1024, 64, 1e6); };
    EXPECT_DOUBLE_EQ(at(RateRule::kLinear), 16);
    EXPECT_DOUBLE_EQ(at(RateRule::kSquareRoot), 4);
    EXPECT_DOUBLE_EQ(at(RateRule::kLamb), 4);
    EXPECT_DOUBLE_EQ(at(RateRule::kLars), std::pow(16, 0.3));
    EXPECT_NEAR(at(RateRule::kGain), 16, 0.02);
  }
}

TEST(RateBand, WidensWithTheWayFromTheTunedBatch) {
  const RateBand near = rate_band(0.1, 128, 64, 0.3), far = rate_band(0.1, 6400, 64, 0.3);
  EXPECT_EQ(near.rate, 0.1);
  EXPECT_DOUBLE_EQ(near.low, 0.1 * std::pow(2, -0.3));
  EXPECT_DOUBLE_EQ(near.high, 0.1 * std::pow(2, 0.3));
  EXPECT_LT(far.low, near.low);
  EXPECT_GT(far.high, near.high);
  const RateBand same = rate_band(0.1, 64, 64, 0.3), down = rate_band(0.1, 32, 64, 0.3);
  EXPECT_EQ(same.low, same.high);
  EXPECT_LT(down.low, down.high);
}

TEST(LearningRateScale, KeepsTheShapeOfTheSchedule) {
  LearningRate rate;
  rate.peak = 1;
  rate.schedule = ScheduleKind::kStep;
  rate.warmup_samples = 1000;
  rate.rates = {1, 0.1};
  rate.boundaries = {50'000};
  const auto scaled = scale_learning_rate(rate, 2, 1.5);
  EXPECT_EQ(scaled.warmup_samples, 1500);
  EXPECT_EQ(scaled.boundaries, (std::vector<std::int64_t>{75'000}));
  EXPECT_DOUBLE_EQ(scaled.rates[1], 0.2);
  EXPECT_DOUBLE_EQ(scaled.peak, 2);
  EXPECT_EQ(scaled.schedule, ScheduleKind::kStep);
}

TEST(RateRule, AutoIsWhatTheOptimizerAsksFor) {
  EXPECT_EQ(resolved_rule(RateRule::kAuto, SgdAttrs{}, false), RateRule::kLinear);
  EXPECT_EQ(resolved_rule(RateRule::kAuto, SgdAttrs{}, true), RateRule::kGain);
  EXPECT_EQ(resolved_rule(RateRule::kAuto, AdamAttrs{}, true), RateRule::kSquareRoot);
  EXPECT_EQ(resolved_rule(RateRule::kLars, AdamAttrs{}, true), RateRule::kLars);
}

TEST(WarmUp, IsThatOfThePublishedLargeBatchRuns) {
  constexpr double kEpoch = 1'281'167;
  // Goyal et al. 2017: 90 epochs at 8,192 from 256, five of warm-up.
  EXPECT_NEAR(warmup_for(RateRule::kLinear, 8192, 256, 90 * kEpoch, kEpoch), 5 * kEpoch, 1);
  EXPECT_NEAR(warmup_for(RateRule::kGain, 8192, 256, 900 * kEpoch, kEpoch), 5 * kEpoch, 1);
  EXPECT_EQ(warmup_for(RateRule::kLinear, 1024, 256, 90 * kEpoch, kEpoch), 0) << "four times only";
  // You et al. 2020: BERT at 4,096 from 512: 1/40 of the run; at 32,768 a fifth.
  EXPECT_EQ(warmup_for(RateRule::kLamb, 4096, 512, 4e6, 1e6), 100'000);
  EXPECT_EQ(warmup_for(RateRule::kSquareRoot, 32768, 512, 4e6, 1e6), 800'000);
  EXPECT_EQ(warmup_for(RateRule::kLamb, 1 << 20, 512, 4e6, 1e6), 800'000) << "no more than that";
  for (const RateRule rule : {RateRule::kLinear, RateRule::kLamb}) {
    EXPECT_EQ(warmup_for(rule, 256, 256, 1e6, 1e4), 0);
    EXPECT_EQ(warmup_for(rule, 64, 256, 1e6, 1e4), 0);
  }
}

TEST(Schedule, StepsInEpochsAreReproducedExactly) {
  // 0.1;5;3.2;30;0.32;60;0.032;80;0.0032
  TrainingJob job;
  job.learning_rate.schedule = ScheduleKind::kStep;
  job.learning_rate.rates = {0.1, 3.2, 0.32, 0.032, 0.0032};
  job.learning_rate.peak = 0.1;
  job.step_epochs = {5, 30, 60, 80};
  constexpr std::int64_t kEpoch = 1'281'167;
  const LearningRate schedule = schedule_of(job, kEpoch);
  for (int epoch = 0; epoch < 90; ++epoch) {
    const double wanted = epoch < 5    ? 0.1
                          : epoch < 30 ? 3.2
                          : epoch < 60 ? 0.32
                          : epoch < 80 ? 0.032
                                       : 0.0032;
    EXPECT_EQ(learning_rate_at(schedule, epoch * kEpoch, 90 * kEpoch), wanted);
    EXPECT_EQ(learning_rate_at(schedule, (epoch + 1) * kEpoch - 1, 90 * kEpoch), wanted);
  }
}

TEST(LawOfAJob, NeedsALookUpOnlyForWhatIsNotInTheJob) {
  TrainingJob job;
  EXPECT_THAT(law_of(job).error().message, HasSubstr("nothing says"));
  job.convergence.critical_batch = 500;
  EXPECT_EQ(law_of(job)->critical_batch, 500);
  EXPECT_EQ(law_of(job)->exponent, 1);
  job.convergence = {.source = "fixed"};
  EXPECT_EQ(law_of(job)->kind, LawKind::kFixed);
  job.convergence = {.source = "resnet"};
  EXPECT_THAT(law_of(job).error().message, HasSubstr("resnet was not looked up"));
  job.samples_law = SamplesLaw{LawKind::kStated, 7};
  EXPECT_EQ(law_of(job)->critical_batch, 7);
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
