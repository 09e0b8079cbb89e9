#include "costmodel/task_costs.h"

#include <gtest/gtest.h>

#include "plan/pipeline.h"
#include "tests/support/small_models.h"
#include "tests/support/table_costs.h"
#include "tests/support/toy_plan.h"

namespace pluto {
namespace {

TEST(TaskCosts, EveryTaskHasItsTerm) {
  const ModelGraph model = testing::perceptron({4, 4, 4});
  Plan plan = testing::plan_for(model, 2, 1, 1);
  plan.cluster = testing::test_cluster(2, 1);
  testing::TableCosts costs;
  costs.op_seconds = [](const OpSignature&) { return 2.0; };
  costs.collective_seconds = [](const CollectiveCall&, const ClusterSpec&) { return 3.0; };
  costs.input_seconds = 4;
  const LoweredPlan lowered = lower(model, plan).value();
  TermTallies tallies;
  for (const TaskCost& task : cost_tasks(lowered, plan.cluster, plan.data, costs)) {
    tallies.of(task.part).add(task.alone, task.relative_spread, task.evidence);
  }
  int products = 0, updates = 0;
  for (const OpPhase phase : lowered.training.phase) {
    products += phase == OpPhase::kForward || phase == OpPhase::kBackward ? 1 : 0;
    updates += phase == OpPhase::kUpdate ? 1 : 0;
  }
  EXPECT_EQ(tallies.compute.total(), Seconds(2.0 * products));
  EXPECT_EQ(tallies.update.total(), Seconds(2.0 * updates));
  EXPECT_EQ(tallies.communication.total(), Seconds(3));
  EXPECT_EQ(tallies.input.total(), Seconds(4));
}

TEST(TaskCosts, MessagesBetweenStagesCostNothingInsideOne) {
  const ModelGraph model = testing::perceptron({4, 4, 4});
  Plan plan = testing::plan_for(model, 1, 1, 2);
  plan.layout.pipeline = 2;
  plan.cluster = testing::test_cluster(2, 1);
  testing::TableCosts costs;
  costs.collective_seconds = [](const CollectiveCall&, const ClusterSpec&) { return 3.0; };
  const LoweredPipeline pipeline = lower_pipeline(model, plan).value();
  for (const auto& stage : pipeline.stages) {
    for (const TaskCost& task : cost_tasks(stage.lowered, plan.cluster, plan.data, costs)) {
      EXPECT_EQ(task.alone, Seconds(0));
    }
  }
}

}  // namespace
}  // namespace pluto
