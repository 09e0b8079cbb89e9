#include "planner/strategy_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/zoo.h"
#include "plan/catalog.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;

TrainingJob job_of(int tensor, int pipeline) {
  TrainingJob job;
  job.model.source = "gpt2";
  job.data.samples = 1024;
  job.target_steps = 10;
  job.global_batch = 64;
  job.strategy.tensor = tensor;
  job.strategy.pipeline = pipeline;
  return job;
}

std::string why(const TrainingJob& job) {
  const auto placed = place_layout(job, 8);
  return placed.ok() ? "ok" : placed.error().message;
}

TEST(StrategyPlan, DataIsWhatTheRanksLeave) {
  TrainingJob job = job_of(4, 2);
  EXPECT_EQ(place_layout(job, 8)->layout.data, 1);
  job.strategy.nodes = 4;
  EXPECT_EQ(place_layout(job, 8)->layout.data, 4);
  EXPECT_EQ(place_layout(job, 8)->nodes, 4);
  job.ranks = 16;
  EXPECT_EQ(place_layout(job, 8)->layout.data, 2);
  job.strategy.nodes.reset();
  EXPECT_EQ(place_layout(job, 8)->nodes, 2);
  job.ranks.reset();
  job.strategy.data = 3;
  EXPECT_EQ(place_layout(job, 8)->layout.ranks(), 24);
  EXPECT_EQ(place_layout(job, 8)->nodes, 3);
}

TEST(StrategyPlan, WithoutAnythingItIsOneNode) {
  TrainingJob job = job_of(1, 1);
  job.strategy = {};
  const auto placed = place_layout(job, 8);
  EXPECT_EQ(placed->layout.data, 8);
  EXPECT_EQ(placed->nodes, 1);
}

TEST(StrategyPlan, ContradictionsNameTheSetting) {
  TrainingJob job = job_of(4, 2);
  job.ranks = 12;
  EXPECT_THAT(why(job), HasSubstr("ranks: 12 is no multiple of tensor x pipeline x context = 8"));
  job.ranks = 16;
  job.strategy.data = 4;
  EXPECT_THAT(why(job), HasSubstr("ranks: 16 is not data x tensor x pipeline x context = 32"));
  job = job_of(4, 2);
  job.ranks = 64;
  job.strategy.nodes = 4;
  EXPECT_THAT(why(job), HasSubstr("nodes: 4 nodes have 32 devices"));
  job = job_of(4, 1);
  job.strategy.interleave = 2;
  EXPECT_THAT(why(job), HasSubstr("interleave: there is one pipeline stage"));
  job = job_of(1, 2);
  job.strategy.sequence_parallel = true;
  EXPECT_THAT(why(job), HasSubstr("sequence_parallel: there is one tensor rank"));
  job.strategy.sequence_parallel = false;
  job.strategy.shard = 5;
  EXPECT_THAT(why(job), HasSubstr("shard: 5 is not in 0 to 3"));
}

class StrategyPlansTest : public ::testing::Test {
 protected:
  StrategyPlansTest() : model_(build_model("gpt2").value()) {
    const auto catalog = Catalog::load(PLUTO_SOURCE_DIR "/data/catalog").value();
    place_ = {catalog.instance("aws:p4d.24xlarge").value(), 1, 1, "cuda"};
  }
  ModelGraph model_;
  Candidate place_;
};

TEST_F(StrategyPlansTest, EveryLawfulMicroBatchIsAPlan) {
  TrainingJob job = job_of(2, 2);
  job.strategy.recompute = Recompute::kFull;
  job.strategy.shard = 1;
  const auto plans = plans_with_strategy(job, model_, 1024, place_);
  ASSERT_TRUE(plans.ok()) << plans.error().message;
  ASSERT_EQ(plans->size(), 6U);  // data 2: 32, 16, 8, 4, 2, 1
  EXPECT_EQ(plans->front().micro_batch, 32);
  EXPECT_EQ(plans->back().accumulation, 32);
  for (const Plan& plan : *plans) {
    EXPECT_EQ(plan.global_batch, plan.layout.data * plan.micro_batch * plan.accumulation);
    EXPECT_EQ(plan.layout.ranks(), 8);
    EXPECT_EQ(plan.recompute, Recompute::kFull);
    EXPECT_EQ(plan.shard, 1);
    EXPECT_EQ(plan.steps, 10);
  }
}

TEST_F(StrategyPlansTest, InterleavedStagesTakeMicroBatchesInGroups) {
  TrainingJob job = job_of(2, 4);
  job.strategy.interleave = 3;
  const auto plans = plans_with_strategy(job, model_, 1024, place_);
  ASSERT_TRUE(plans.ok()) << plans.error().message;
  for (const Plan& plan : *plans) EXPECT_EQ(plan.accumulation % 4, 0);
  job.micro_batch = 32;
  EXPECT_THAT(plans_with_strategy(job, model_, 1024, place_).error().message,
              HasSubstr("groups of 4"));
}

TEST_F(StrategyPlansTest, TheBatchHasToBeKnown) {
  TrainingJob job = job_of(2, 2);
  job.global_batch.reset();
  EXPECT_THAT(plans_with_strategy(job, model_, 1024, place_).error().message,
              HasSubstr("global_batch"));
}

}  // namespace
}  // namespace pluto
