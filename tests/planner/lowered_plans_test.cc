#include "planner/lowered_plans.h"

#include <gtest/gtest.h>

#include "planner/space.h"
#include "planner/sync_choice.h"
#include "tests/support/planner_cases.h"

namespace pluto {
namespace {

using testing::candidate;
using testing::perceptron;
using testing::small_job;

Plan plan_on(const ModelGraph& model, const std::string& instance, int ranks, std::int64_t share,
             SyncMethod method) {
  Placement placement;
  placement.ranks = ranks;
  placement.global_batch = ranks * share;
  const Plan plan = plan_of(small_job(ranks * share), model, 10'000, candidate(instance, ranks, 1),
                            placement, share);
  const auto gradients = gradient_order(model, plan);
  return with_buckets(plan,
                      make_buckets(*gradients, std::vector(gradients->size(), method), kWhole));
}

TEST(LoweredPlans, AreWhatLowerMakes) {
  const auto model = perceptron({12, 16, 8, 4});
  LoweredPlans kept(model);
  for (const int ranks : {2, 3}) {
    for (const SyncMethod method : {SyncMethod::kAllReduce, SyncMethod::kParameterServer,
                                    SyncMethod::kSufficientFactor, SyncMethod::kShard}) {
      Plan plan = plan_on(model, "a", ranks, 4, method);
      plan.shard = method == SyncMethod::kShard ? 1 : 0;
      const auto lowered = kept.of(plan);
      const auto own = lower(model, plan);
      ASSERT_TRUE(lowered.ok() && own.ok());
      EXPECT_EQ((*lowered)->training.graph.fingerprint(), own->training.graph.fingerprint());
      ASSERT_EQ((*lowered)->program.tasks.size(), own->program.tasks.size());
      for (std::size_t i = 0; i < own->program.tasks.size(); ++i) {
        const Task &one = (*lowered)->program.tasks[i], &other = own->program.tasks[i];
        EXPECT_EQ(one.resource, other.resource);
        EXPECT_EQ(one.predecessors, other.predecessors);
        EXPECT_EQ(one.payload.index(), other.payload.index());
      }
    }
  }
  EXPECT_EQ(kept.made(), 8);
}

TEST(LoweredPlans, AreMadeOnceForAllInstancesAndAnewForWhatDiffers) {
  const auto model = perceptron({12, 16, 8, 4});
  LoweredPlans kept(model);
  const Plan plan = plan_on(model, "a", 2, 4, SyncMethod::kAllReduce);
  const auto first = kept.of(plan);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(*kept.of(plan_on(model, "b", 2, 4, SyncMethod::kAllReduce)), *first);
  EXPECT_EQ(kept.made(), 1);
  std::vector<Plan> others(8, plan);
  others[0].micro_batch = 2;
  others[1].accumulation = 2;
  others[2].buckets.front().wire = DType::kF16;
  others[3].buckets.front().chunks = 2;
  others[4].recompute = Recompute::kFull;
  others[5].priority = true;
  others[6].local.steps = 4;
  others[7].layout.data = 4;
  for (const Plan& other : others) {
    const auto lowered = kept.of(other);
    ASSERT_TRUE(lowered.ok()) << lowered.error().message;
    EXPECT_NE(*lowered, *first);
  }
  EXPECT_EQ(kept.made(), 9);
  Plan split = plan;
  BucketPlan rest = split.buckets.front();
  split.buckets.front().parameters.resize(1);
  rest.parameters.erase(rest.parameters.begin());
  split.buckets.push_back(std::move(rest));
  ASSERT_TRUE(kept.of(split).ok());
  EXPECT_EQ(kept.made(), 10) << "a bucket cut in two";
}

TEST(LoweredPlans, ErrorsAreThoseOfLower) {
  const auto model = perceptron({12, 16, 8, 4});
  LoweredPlans kept(model);
  Plan plan = plan_on(model, "a", 2, 4, SyncMethod::kAllReduce);
  plan.buckets.front().parameters.front() = "nobody";
  for (int again = 0; again < 2; ++again) {
    const auto lowered = kept.of(plan);
    ASSERT_FALSE(lowered.ok());
    EXPECT_NE(lowered.error().message.find("nobody"), std::string::npos);
  }
}

}  // namespace
}  // namespace pluto
