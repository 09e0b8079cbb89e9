#include "plan/job_rules.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

namespace pluto {
namespace {

TrainingJob lawful() {
  TrainingJob job;
  job.name = "job";
  job.model.source = "lenet";
  job.data = {"synthetic", std::nullopt, 1000, 1};
  job.epochs = 2;
  job.global_batch = 64;
  return job;
}

TEST(JobRulesTest, LawfulJobPasses) {
  EXPECT_TRUE(validate(lawful()).ok());
  EXPECT_EQ(check_job(lawful()), std::nullopt);
}

TEST(JobRulesTest, WhatAFlagBreaksIsNamedWithoutALine) {
  TrainingJob job = lawful();
  job.budget = Dollars(-1);
  const auto verdict = validate(job);
  ASSERT_FALSE(verdict.ok());
  EXPECT_EQ(verdict.error().code, ErrorCode::kInvalidInput);
  EXPECT_EQ(verdict.error().message, "budget: must be above zero, is -1");
  EXPECT_EQ(verdict.error().help, "give US dollars, for example budget: 120, or leave it out");
}

TEST(JobRulesTest, EveryRuleNamesItsField) {
  const struct {
    const char* path;
    std::function<void(TrainingJob&)> change;
  } cases[] = {
      {"model", [](auto& job) { job.model.source.clear(); }},
      {"model.vocabulary", [](auto& job) { job.model.options.vocabulary = -1; }},
      {"data.source", [](auto& job) { job.data.source = "disk"; }},
      {"data.samples", [](auto& job) { job.data.samples = 0; }},
      {"target", [](auto& job) { job.epochs.reset(); }},
      {"target", [](auto& job) { job.target_steps = 10; }},
      {"target.epochs", [](auto& job) { job.epochs = std::nan(""); }},
      {"deadline", [](auto& job) { job.deadline = Seconds(0); }},
      {"confidence", [](auto& job) { job.confidence = std::nan(""); }},
      {"optimizer.momentum",
       [](auto& job) {
         job.optimizer = SgdAttrs{-0.1, 0, false};
       }},
      {"optimizer.beta1",
       [](auto& job) {
         job.optimizer = AdamAttrs{1, 0.9, 1e-8, 0, false};
       }},
      {"optimizer.beta2",
       [](auto& job) {
         job.optimizer = AdamAttrs{0.9, 1, 1e-8, 0, false};
       }},
      {"batch.global", [](auto& job) { job.global_batch = -3; }},
      {"batch.micro", [](auto& job) { job.micro_batch = 65; }},
      {"batch.global", [](auto& job) { job.global_batch.reset(); }},
      {"learning_rate.peak", [](auto& job) { job.learning_rate.peak = 0; }},
      {"sync.allow", [](auto& job) { job.allowed_sync.clear(); }},
      {"cluster.instances", [](auto& job) { job.instances.clear(); }},
      {"cluster.instances[0]", [](auto& job) { job.instances = {" "}; }},
      {"cluster.ranks", [](auto& job) { job.ranks = 0; }},
      {"seed", [](auto& job) { job.seed = 1ULL << 63; }},
  };
  for (const auto& bad : cases) {
    SCOPED_TRACE(bad.path);
    TrainingJob job = lawful();
    bad.change(job);
    const Verdict verdict = check_job(job);
    ASSERT_TRUE(verdict.has_value());
    EXPECT_EQ(verdict->path, bad.path);
    EXPECT_FALSE(verdict->help.empty());
  }
}

TEST(JobRulesTest, LimitsThemselvesAreLawful) {
  for (const double confidence : {0.5, 0.999}) EXPECT_FALSE(check_confidence(confidence, "c"));
  EXPECT_TRUE(check_confidence(0.4999, "c"));
  EXPECT_TRUE(check_confidence(0.9991, "c"));
  EXPECT_FALSE(check_seed((1ULL << 63) - 1, "seed"));
  EXPECT_FALSE(check_optimizer(SgdAttrs{0, 0, false}, "o"));
  EXPECT_FALSE(check_optimizer(AdamAttrs{0, 0, 1e-30, 0, true}, "o"));
}

TEST(JobRulesTest, AutomaticBatchNeedsTheCriticalBatchALimitAndTheBatchOfThePeak) {
  TrainingJob job = lawful();
  job.global_batch.reset();
  job.convergence.critical_batch = 500;
  EXPECT_EQ(check_job(job)->path, "batch.max");
  job.max_global_batch = 1024;
  EXPECT_EQ(check_job(job)->path, "learning_rate.at_batch");
  job.learning_rate_batch = 128;
  EXPECT_FALSE(check_job(job));
}

}  // namespace
}  // namespace pluto
