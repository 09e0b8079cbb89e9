#include <gtest/gtest.h>

#include "cli/job_settings.h"

namespace pluto {
namespace {

TEST(ApplySettingTest, SetsWhatItNames) {
  TrainingJob job;
  ASSERT_TRUE(apply_setting(job, "ranks=2").ok());
  ASSERT_TRUE(apply_setting(job, "global_batch=256").ok());
  ASSERT_TRUE(apply_setting(job, "micro_batch=64").ok());
  ASSERT_TRUE(apply_setting(job, "sync=all_reduce,sufficient_factor").ok());
  ASSERT_TRUE(apply_setting(job, "instance=aws:p3.2xlarge").ok());
  ASSERT_TRUE(apply_setting(job, "learning_rate=0.25").ok());
  EXPECT_EQ(job.ranks, 2);
  EXPECT_EQ(job.global_batch, 256);
  EXPECT_EQ(job.micro_batch, 64);
  EXPECT_EQ(job.allowed_sync,
            (std::vector<SyncMethod>{SyncMethod::kAllReduce, SyncMethod::kSufficientFactor}));
  EXPECT_EQ(job.instances, std::vector<std::string>{"aws:p3.2xlarge"});
  EXPECT_EQ(job.learning_rate.peak, 0.25);
  ASSERT_TRUE(apply_setting(job, "spot=never").ok());
  EXPECT_EQ(job.spot, SpotUse::kNever);
}

TEST(ApplySettingTest, SetsStrategies) {
  TrainingJob job;
  EXPECT_FALSE(job.strategy.any());
  for (const char* setting :
       {"nodes=16", "data=4", "tensor=8", "pipeline=2", "context=2", "interleave=3", "shard=0",
        "sequence_parallel=1", "recompute=full", "precision=bf16", "attention=flash2"}) {
    const auto set = apply_setting(job, setting);
    ASSERT_TRUE(set.ok()) << set.error().message;
  }
  const StrategyChoice& choice = job.strategy;
  EXPECT_TRUE(choice.any());
  EXPECT_EQ(choice.nodes, 16);
  EXPECT_EQ(choice.data, 4);
  EXPECT_EQ(choice.tensor, 8);
  EXPECT_EQ(choice.pipeline, 2);
  EXPECT_EQ(choice.context, 2);
  EXPECT_EQ(choice.interleave, 3);
  EXPECT_EQ(choice.shard, 0);
  EXPECT_EQ(choice.sequence_parallel, true);
  EXPECT_EQ(choice.recompute, Recompute::kFull);
  EXPECT_EQ(job.precision, TrainPrecision::kBf16);
  EXPECT_EQ(job.attention, AttentionKernel::kFlash2);
}

TEST(ApplySettingTest, UnknownKeysNameTheNearest) {
  TrainingJob job;
  EXPECT_EQ(apply_setting(job, "tensr=2").error().help, "did you mean tensor?");
  for (const std::string& key : setting_keys()) {
    const auto set = apply_setting(job, key + "=?");
    if (!set.ok()) {
      EXPECT_EQ(set.error().message.find("no such key"), std::string::npos) << key;
    }
  }
}

TEST(ApplySettingTest, KnowledgeOfConvergenceReplacesTheJobs) {
  TrainingJob job;
  job.convergence.noise_scale = 5;
  ASSERT_TRUE(apply_setting(job, "critical_batch=2000").ok());
  EXPECT_EQ(job.convergence.critical_batch, 2000);
  EXPECT_FALSE(job.convergence.noise_scale);
  ASSERT_TRUE(apply_setting(job, "convergence=resnet").ok());
  EXPECT_EQ(job.convergence, (ConvergenceChoice{"resnet", {}, {}, {}, {}}));
  EXPECT_FALSE(apply_setting(job, "critical_batch=0").ok());
  EXPECT_FALSE(apply_setting(job, "convergence=").ok());
}

TEST(ApplySettingTest, WhatIsFixedIsNoLongerChosenUpToAMaximum) {
  TrainingJob job;
  job.max_ranks = 8;
  job.max_global_batch = 4096;
  ASSERT_TRUE(apply_setting(job, "ranks=2").ok());
  ASSERT_TRUE(apply_setting(job, "global_batch=256").ok());
  EXPECT_FALSE(job.max_ranks.has_value());
  EXPECT_FALSE(job.max_global_batch.has_value());
}

TEST(ApplySettingTest, RefusesWhatItCannotRead) {
  for (const char* bad : {"ranks=0",
                          "ranks=-1",
                          "ranks=two",
                          "ranks=",
                          "ranks",
                          "micro_batch=1.5",
                          "sync=gossip",
                          "learning_rate=0",
                          "learning_rate=fast",
                          "spot=sometimes",
                          "colour=red",
                          "tensor=0",
                          "shard=4",
                          "shard=-1",
                          "recompute=some",
                          "precision=half",
                          "attention=",
                          "sequence_parallel=2",
                          "instance=",
                          "nodes=1.5",
                          "=3",
                          "ranks=99999999999999999999"}) {
    TrainingJob job;
    const auto result = apply_setting(job, bad);
    ASSERT_FALSE(result.ok()) << bad;
    EXPECT_EQ(result.error().code, ErrorCode::kInvalidInput) << bad;
  }
}

}  // namespace
}  // namespace pluto
