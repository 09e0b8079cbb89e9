#include "plan/step_overlap.h"

#include <gmock/gmock.h>

#include "tests/plan/lowered_plans.h"
#include "tests/support/toy_models.h"
#include "tests/support/toy_plan.h"

namespace pluto {
namespace {

using pluto::testing::lowered;
using pluto::testing::plan_with;
using pluto::testing::task_named;
using pluto::testing::two_layers;
using ::testing::Contains;
using ::testing::IsEmpty;
using ::testing::Not;

class StepOverlapTest : public ::testing::Test {
 protected:
  static Plan layers(SyncMethod method) {
    Plan plan = plan_with(two_layers(), method, 2);
    const BucketPlan all = plan.buckets.front();
    plan.buckets = {all, all};
    plan.buckets[0].parameters = {"fc2.weight", "fc2.bias"};
    plan.buckets[1].parameters = {"fc1.weight", "fc1.bias"};
    plan.priority = true;
    return plan;
  }
  void lower_it(const Plan& plan) { plan_ = lowered(two_layers(), plan); }
  std::vector<std::string> across(const std::string& name) const {
    std::vector<std::string> result;
    for (TaskId id : plan_.program.overlap->across[task_named(plan_, name).id.index()]) {
      result.push_back(task_name(plan_.training, plan_.program, plan_.program.tasks[id.index()]));
    }
    return result;
  }
  std::string needed_by(const std::string& name) const {
    const auto need = plan_.program.overlap->needed_by[task_named(plan_, name).id.index()];
    if (!need) return "this step";
    return task_name(plan_.training, plan_.program, plan_.program.tasks[need->index()]);
  }
  LoweredPlan plan_;
};

TEST_F(StepOverlapTest, IsThereOnRequestOnly) {
  Plan plan = layers(SyncMethod::kAllReduce);
  plan.priority = false;
  lower_it(plan);
  EXPECT_FALSE(plan_.program.overlap.has_value());
}

TEST_F(StepOverlapTest, ForwardOfALayerWaitsForItsOwnParameters) {
  lower_it(layers(SyncMethod::kAllReduce));
  EXPECT_THAT(across("fc1"), Contains("fc1.weight.update"));
  EXPECT_THAT(across("fc1"), Not(Contains("fc2.weight.update")));
  EXPECT_THAT(across("fc2"), Contains("fc2.weight.update"));
  EXPECT_THAT(across("act1"), IsEmpty());
  // The gradient must have been read before it is overwritten.
  EXPECT_THAT(across("fc2.backward_weight"), Contains("fc2.weight.update"));
}

TEST_F(StepOverlapTest, WhatTheFirstLayerNeedsIsNeededFirst) {
  lower_it(layers(SyncMethod::kAllReduce));
  EXPECT_EQ(needed_by("bucket0.all_reduce"), "fc2");
  EXPECT_EQ(needed_by("bucket1.all_reduce"), "fc1");
  EXPECT_EQ(needed_by("fc1.bias.update"), "fc1");
  EXPECT_EQ(needed_by("fc1.backward_weight"), "this step");
}

TEST_F(StepOverlapTest, ChunksOfAPulledParameterAllCount) {
  Plan plan = layers(SyncMethod::kParameterServer);
  plan.buckets[1].chunks = 3;
  lower_it(plan);
  EXPECT_THAT(across("fc1"), Contains("bucket1.pull [0, 10)"));
  EXPECT_THAT(across("fc1"), Contains("bucket1.pull [20, 30)"));
}

TEST_F(StepOverlapTest, PackingIsForThisStep) {
  Plan plan = layers(SyncMethod::kAllReduce);
  plan.buckets[0].wire = DType::kF16;
  lower_it(plan);
  EXPECT_EQ(needed_by("bucket0.pack"), "this step");
  EXPECT_EQ(needed_by("bucket0.unpack"), "fc2");
  EXPECT_THAT(across("bucket0.pack"), Contains("bucket0.all_reduce"));
}

}  // namespace
}  // namespace pluto
