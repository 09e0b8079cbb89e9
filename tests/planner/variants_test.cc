#include "planner/variants.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "costmodel/predictor.h"
#include "model/zoo.h"
#include "planner/simulated_space.h"
#include "planner/sync_choice.h"
#include "tests/support/planner_cases.h"

namespace pluto {
namespace {

using testing::candidate;
using testing::random_costs;
using testing::small_job;
using testing::TableCosts;

Plan on_gpus(int ranks) {
  Plan plan;
  plan.backend = "cuda";
  plan.layout.data = ranks;
  plan.cluster = {candidate("gpu", ranks, 1, ranks, 1e-6, 1e9).instance, 1};
  return plan;
}

std::vector<Plan> quieter(const Plan& plan, const ModelGraph& model) {
  auto plans = quieter_plans(plan, model, false, random_costs(1, 1e-4, 1));
  EXPECT_TRUE(plans.ok());
  return *plans;
}

TEST(Variants, OnlyGpusHaveThem) {
  const ModelGraph model = *build_model("alexnet");
  Plan plan = on_gpus(4);
  EXPECT_FALSE(smaller_plans(plan, model).empty());
  plan.backend = "cpu";
  EXPECT_TRUE(smaller_plans(plan, model).empty());
  EXPECT_TRUE(quieter(plan, model).empty());
}

TEST(Variants, OneRankSharesNothing) {
  const ModelGraph model = *build_model("alexnet");
  const Plan plan = on_gpus(1);
  EXPECT_TRUE(quieter(plan, model).empty());
  for (const Plan& one : smaller_plans(plan, model)) {
    EXPECT_EQ(one.shard, 0);
    EXPECT_EQ(one.layout.pipeline, 1);
    EXPECT_NE(one.recompute, Recompute::kNone);
  }
}

TEST(Variants, SmallerPlansAreAllDifferentAndHoldLess) {
  Plan plan = on_gpus(4);
  plan.micro_batch = 8;
  plan.accumulation = 1;
  plan.global_batch = 32;
  const auto plans = smaller_plans(plan, *build_model("alexnet"));
  EXPECT_EQ(plans.size(), 3U + 11U + 4U) << "hybrid; ZeRO and recompute; 2 and 4 stages";
  int staged = 0;
  for (const Plan& one : plans) {
    EXPECT_EQ(std::ranges::count(plans, one), 1);
    EXPECT_EQ(one.layout.ranks(), 4);
    EXPECT_EQ(one.micro_batch * one.accumulation * one.layout.data, 32);
    EXPECT_GE(one.accumulation, one.layout.pipeline);
    staged += one.layout.pipeline > 1;
  }
  EXPECT_EQ(staged, 4);
}

TEST(Variants, HybridSplitsLargeLinearLayersOnly) {
  const ModelGraph model = *build_model("alexnet");
  const auto large = [&](int ranks) {
    for (const Plan& one : quieter(on_gpus(ranks), model)) {
      if (one.sharded.size() > 1) return one.sharded;
    }
    return std::vector<std::string>();
  };
  EXPECT_EQ(large(4), (std::vector<std::string>{"fc6", "fc7", "fc8"}));
  // 1,000 classes cannot be shared evenly by 16 ranks.
  EXPECT_EQ(large(16), (std::vector<std::string>{"fc6", "fc7"}));
}

/// A job on one GPU type of `ranks`, its compute by FLOPs, its links as given.
class GpuSearch : public ::testing::Test {
 protected:
  GpuSearch() {
    costs.op_seconds = [](const OpSignature& op) {
      return 1e-6 + op_work(op).flops.value() / 4e12;
    };
    costs.collective_seconds = [](const CollectiveCall& call, const ClusterSpec& cluster) {
      return collective_time(call, cluster).total().value();
    };
    place.backend = "cuda";
    job.minimize = Objective::kTime;
    job.allowed_sync = {SyncMethod::kAllReduce};
  }
  RankedPlan best(const ModelGraph& model, int ranks) {
    job.ranks = ranks;
    const auto result = search(job, model, *job.data.samples, {place}, costs, {});
    EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message);
    return result->ranked.front();
  }
  TrainingJob job = small_job(512);
  TableCosts costs;
  Candidate place = candidate("gpu", 8, 1.0, 8, 1e-5, 8e9);
};

// Pluto's AlexNet table (hybrid 4.33 times one K40 at 8 GPUs, data parallel 0.41 times).
TEST_F(GpuSearch, AlexNetOnASlowBusSplitsItsLinearLayers) {
  const RankedPlan chosen = best(*build_model("alexnet"), 8);
  EXPECT_FALSE(chosen.plan.sharded.empty());
}

// Every planner of the field keeps it data parallel: 25 million parameters, 4 GFLOPs a sample.
TEST_F(GpuSearch, ResNet50StaysDataParallel) {
  place.instance.node.intra.bandwidth = BytesPerSecond(100e9);
  const RankedPlan chosen = best(*build_model("resnet50"), 8);
  EXPECT_TRUE(chosen.plan.sharded.empty());
  EXPECT_EQ(chosen.plan.layout.ranks(), chosen.plan.layout.data);
  EXPECT_EQ(chosen.plan.shard, 0);
}

// Single GPUs behind 1 Gb/s Ethernet: 205 MB there and back take longer than they spare.
TEST_F(GpuSearch, SlowEthernetPicksFewNodes) {
  place = candidate("gpu", 32, 1.0, 1, 5e-5, 0.117e9);
  place.backend = "cuda";
  costs.op_seconds = [](const OpSignature& op) { return 1e-6 + op_work(op).flops.value() / 1e13; };
  job.max_ranks = 32;
  job.micro_batch = 16;
  const auto result = search(job, *build_model("resnet50"), 512, {place}, costs, {});
  ASSERT_TRUE(result.ok());
  EXPECT_LT(result->ranked.front().plan.layout.ranks(), 32);
}

TEST_F(GpuSearch, WhatDoesNotFitIsShardedOrRecomputed) {
  const ModelGraph model = *build_model("resnet50");
  job.micro_batch = 64;
  const RankedPlan free = best(model, 8);
  place.instance.node.device.memory = Bytes(free.prediction.memory.total().value() * 2 / 3);
  const RankedPlan small = best(model, 8);
  EXPECT_TRUE(small.meets_limits);
  EXPECT_TRUE(small.plan.shard > 0 || small.plan.recompute != Recompute::kNone ||
              small.plan.layout.pipeline > 1 || !small.plan.sharded.empty());
  EXPECT_LE(small.prediction.memory.total(), place.instance.node.device.memory);
}

// Eight equal layers on slow links, of a width that ranks cannot share: a stage each, where ranks
// that gather all of them in every micro-batch (ZeRO 3) would wait for the links.
TEST_F(GpuSearch, WhatNoRankCanHoldIsCutIntoStages) {
  const ModelGraph model =
      testing::perceptron({1021, 1021, 1021, 1021, 1021, 1021, 1021, 1021, 1021});
  place = candidate("gpu", 8, 1.0, 8, 1e-5, 1e8);
  place.backend = "cuda";
  job.global_batch = 512;
  job.micro_batch = 8;
  place.instance.node.device.memory = Bytes(std::int64_t{1} << 60);
  const RankedPlan free = best(model, 8);
  EXPECT_EQ(free.plan.layout.pipeline, 1);
  place.instance.node.device.memory = Bytes(free.prediction.memory.total().value() * 4 / 10);
  const RankedPlan small = best(model, 8);
  EXPECT_TRUE(small.meets_limits);
  EXPECT_GT(small.plan.layout.pipeline, 1);
  EXPECT_EQ(small.plan.layout.ranks(), 8);
  EXPECT_EQ(small.plan.pipeline.cuts.size(), small.plan.layout.pipeline - 1U);
  EXPECT_EQ(small.plan.micro_batch * small.plan.accumulation * small.plan.layout.data, 512);
  const auto again = predict(model, small.plan, costs);
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_EQ(again->prediction.step_time.p50, small.prediction.step_time.p50);
}

}  // namespace
}  // namespace pluto
