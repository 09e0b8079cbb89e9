#include "planner/space.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "tests/support/planner_cases.h"

namespace pluto {
namespace {

using testing::candidate;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::small_job;

std::string refusal(const TrainingJob& job, const std::vector<Candidate>& candidates,
                    std::int64_t samples = 10'000) {
  const auto space = enumerate(job, samples, candidates);
  EXPECT_FALSE(space.ok());
  if (space.ok()) return {};
  EXPECT_EQ(space.error().code, ErrorCode::kInvalidInput);
  return space.error().message;
}

TEST(Space, TriesEveryRankCountThatDividesTheBatch) {
  const auto space = enumerate(small_job(12), 10'000, {candidate("a", 6, 1)});
  ASSERT_TRUE(space.ok());
  std::vector<int> ranks;
  for (const auto& placement : space->placements) ranks.push_back(placement.ranks);
  EXPECT_THAT(ranks, ElementsAre(1, 2, 3, 4, 6));
  EXPECT_EQ(space->divisibility, 1);
  EXPECT_THAT(space->placements[0].micro_batches, ElementsAre(12, 4, 2, 1));
  EXPECT_THAT(space->placements[1].micro_batches, ElementsAre(6, 2, 1));
  EXPECT_THAT(space->placements[2].micro_batches, ElementsAre(4, 2, 1));
}

TEST(Space, StepsCoverTheTarget) {
  auto job = small_job(64);
  EXPECT_EQ(enumerate(job, 10'000, {candidate("a", 1, 1)})->placements[0].steps,
            313);  // 20000 / 64 = 312.5
  job.epochs.reset();
  job.target_samples = 6400;
  EXPECT_EQ(enumerate(job, 10'000, {candidate("a", 1, 1)})->placements[0].steps, 100);
  job.target_samples.reset();
  job.target_steps = 77;
  EXPECT_EQ(enumerate(job, 10'000, {candidate("a", 1, 1)})->placements[0].steps, 77);
}

TEST(Space, AFixedBatchTakesTheTargetAsStatedAndScalesTheRate) {
  auto job = small_job(128);
  job.learning_rate.peak = 0.1;
  job.learning_rate_batch = 32;
  job.convergence.critical_batch = 1000;
  const auto space = enumerate(job, 10'000, {candidate("a", 1, 1)});
  EXPECT_EQ(space->placements[0].steps, 157);
  EXPECT_NEAR(space->placements[0].learning_rate.peak, 0.1 * (1 + 1000 / 32.0) / (1 + 1000 / 128.0),
              1e-12);
  job.learning_rate_batch.reset();
  EXPECT_EQ(enumerate(job, 10'000, {candidate("a", 1, 1)})->placements[0].learning_rate.peak, 0.1);
}

TEST(Space, APlanSaysWhatItsRateFollowsFrom) {
  auto job = small_job(1024);
  job.learning_rate.peak = 0.1;
  job.learning_rate_batch = 64;
  job.band_exponent = 0.3;
  const auto placed = [&] {
    return enumerate(job, 10'000, {candidate("a", 1, 1)})->placements.front();
  };
  const RateBasis basis = placed().rate_basis;
  EXPECT_EQ(basis.rule, RateRule::kLinear);
  EXPECT_EQ(basis.tuned_batch, 64);
  EXPECT_EQ(basis.tuned_peak, 0.1);
  EXPECT_NEAR(basis.low, 1.6 * std::pow(16, -0.3), 1e-12);
  EXPECT_NEAR(basis.high, 1.6 * std::pow(16, 0.3), 1e-12);
  EXPECT_EQ(placed().learning_rate.warmup_samples, 0) << "the job states none, and asks for none";
  job.warmup_chosen = true;
  EXPECT_EQ(placed().learning_rate.warmup_samples, 1111) << "5/90 of two epochs";
  job.learning_rate.schedule = ScheduleKind::kStep;
  job.learning_rate.rates = {0.1, 0.01};
  job.learning_rate.boundaries = {10'000};
  EXPECT_EQ(placed().learning_rate.warmup_samples, 0) << "such a schedule is its owner's";
}

TEST(Space, AChosenBatchIsAPowerOfTwoAndNeedsMoreSamplesTheLargerItIs) {
  auto job = small_job(1);
  job.global_batch.reset();
  job.max_global_batch = 256;
  job.convergence.critical_batch = 128;
  job.learning_rate_batch = 48;
  const auto space = enumerate(job, 10'000, {candidate("a", 1, 1)});
  ASSERT_TRUE(space.ok());
  std::vector<std::int64_t> batches;
  double last = 0;
  for (const auto& placement : space->placements) {
    batches.push_back(placement.global_batch);
    const double expected =
        20'000 * (1 + static_cast<double>(placement.global_batch) / 128) / (1 + 48.0 / 128);
    EXPECT_NEAR(static_cast<double>(placement.steps * placement.global_batch), expected,
                static_cast<double>(placement.global_batch));
    EXPECT_GT(placement.learning_rate.peak, last);
    last = placement.learning_rate.peak;
  }
  EXPECT_THAT(batches, ElementsAre(1, 2, 4, 8, 16, 32, 48, 64, 128, 256));
}

TEST(Space, WhatTheJobFixesIsKept) {
  auto job = small_job(64);
  job.ranks = 4;
  job.micro_batch = 8;
  const auto space = enumerate(job, 10'000, {candidate("a", 8, 1), candidate("small", 2, 1)});
  ASSERT_EQ(space->placements.size(), 1u);
  EXPECT_EQ(space->placements[0].ranks, 4);
  EXPECT_THAT(space->placements[0].micro_batches, ElementsAre(8));
}

TEST(Space, TheJobsMostRanksAndTheInstancesBothHold) {
  auto job = small_job(64);
  job.max_ranks = 2;
  const auto space = enumerate(job, 10'000, {candidate("a", 8, 1), candidate("b", 1, 1)});
  EXPECT_EQ(space->placements.size(), 3u);
}

TEST(Space, WithoutAMethodThereIsOnlyOneRank) {
  auto job = small_job(64);
  job.allowed_sync = {};
  EXPECT_EQ(enumerate(job, 10'000, {candidate("a", 8, 1)})->placements.size(), 1u);
  job.ranks = 2;
  EXPECT_THAT(refusal(job, {candidate("a", 8, 1)}), HasSubstr("sync"));
}

TEST(Space, AStepHasAtMostSoManyMicroBatches) {
  const auto space = enumerate(small_job(kMostAccumulation * 4), 10'000, {candidate("a", 1, 1)});
  EXPECT_EQ(space->placements[0].micro_batches.back(), 4);
  auto job = small_job(kMostAccumulation * 4);
  job.micro_batch = 1;
  EXPECT_TRUE(enumerate(job, 10'000, {candidate("a", 1, 1)})->placements.empty());
}

TEST(Space, ContradictionsNameTheKey) {
  const std::vector<Candidate> places{candidate("a", 4, 1)};
  EXPECT_THAT(refusal(small_job(8), {}), HasSubstr("instances"));
  auto job = small_job(9);
  job.ranks = 2;
  EXPECT_THAT(refusal(job, places),
              HasSubstr("global_batch: 9 samples cannot be shared evenly by 2 ranks"));
  job = small_job(8);
  job.ranks = 2;
  job.micro_batch = 3;
  EXPECT_THAT(refusal(job, places), HasSubstr("micro_batch"));
  job = small_job(8);
  job.ranks = 8;
  EXPECT_THAT(refusal(job, places), HasSubstr("ranks"));
  job = small_job(8);
  job.global_batch.reset();
  EXPECT_THAT(refusal(job, places), HasSubstr("critical_batch"));
  job = small_job(8);
  job.target_steps = 5;
  EXPECT_THAT(refusal(job, places), HasSubstr("target"));
  EXPECT_THAT(refusal(small_job(8), places, 0), HasSubstr("data"));
}

TEST(Space, PlansAreCompleteAndTakeWholeNodes) {
  const auto model = testing::perceptron({4, 4, 2});
  auto job = small_job(24);
  job.budget = Dollars(5);
  job.seed = 9;
  auto place = candidate("a", 6, 1, 4);
  place.threads_per_rank = 3;
  place.backend = "reference";
  const auto space = enumerate(job, 10'000, {place});
  for (const auto& placement : space->placements) {
    for (const auto micro : placement.micro_batches) {
      const auto plan = plan_of(job, model, 10'000, place, placement, micro);
      EXPECT_EQ(plan.global_batch, plan.layout.data * plan.micro_batch * plan.accumulation);
      EXPECT_EQ(plan.cluster.nodes, placement.ranks <= 4 ? 1 : 2);
      EXPECT_EQ(plan.model_fingerprint, model.graph.fingerprint());
      EXPECT_EQ(plan.backend, "reference");
      EXPECT_EQ(plan.threads_per_rank, 3);
      EXPECT_EQ(plan.budget, job.budget);
      EXPECT_EQ(plan.seed, 9u);
      if (placement.ranks == 1) {
        EXPECT_TRUE(validate(plan).ok());
      }
    }
  }
}

}  // namespace
}  // namespace pluto
