#include <gtest/gtest.h>

#include "cli/workflow.h"

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
  for (const char* bad : {"ranks=0", "ranks=-1", "ranks=two", "ranks=", "ranks", "micro_batch=1.5",
                          "sync=gossip", "learning_rate=0", "learning_rate=fast", "colour=red",
                          "=3", "ranks=99999999999999999999"}) {
    TrainingJob job;
    const auto result = apply_setting(job, bad);
    ASSERT_FALSE(result.ok()) << bad;
    EXPECT_EQ(result.error().code, ErrorCode::kInvalidInput) << bad;
  }
}

}  // namespace
}  // namespace pluto
