#include "plan/task_emitter.h"

#include <gmock/gmock.h>

#include <map>

#include "model/zoo.h"
#include "tests/plan/lowered_plans.h"
#include "tests/support/graph_checks.h"
#include "tests/support/random_model.h"
#include "tests/support/toy_models.h"
#include "tests/support/toy_plan.h"

namespace pluto {
namespace {

using pluto::testing::collectives;
using pluto::testing::lowered;
using pluto::testing::names;
using pluto::testing::plan_for;
using pluto::testing::plan_with;
using pluto::testing::predecessors;
using pluto::testing::random_plan;
using pluto::testing::RandomModel;
using pluto::testing::task_named;
using pluto::testing::two_layers;
using pluto::testing::wiring_faults;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

TEST(TaskEmitterTest, PredecessorsAreDataDependencies) {
  const LoweredPlan plan =
      lowered(two_layers(), plan_with(two_layers(), SyncMethod::kAllReduce, 2));
  EXPECT_THAT(predecessors(plan, "batch"), IsEmpty());
  EXPECT_THAT(predecessors(plan, "fc1"), ElementsAre("batch"));
  EXPECT_THAT(predecessors(plan, "fc2"), ElementsAre("act1"));
  EXPECT_THAT(predecessors(plan, "loss"), ElementsAre("batch", "fc2"));
  EXPECT_THAT(predecessors(plan, "bucket0.all_reduce"),
              ElementsAre("fc2.backward_weight", "fc1.backward_weight"));
  // The update reads what the collective wrote, and overwrites what these two read.
  EXPECT_THAT(predecessors(plan, "fc2.weight.update"),
              ElementsAre("fc2", "fc2.backward_data", "bucket0.all_reduce"));
}

TEST(TaskEmitterTest, PullsFollowTheUpdatesOfTheirBucket) {
  const LoweredPlan plan =
      lowered(two_layers(), plan_with(two_layers(), SyncMethod::kParameterServer, 2));
  EXPECT_THAT(predecessors(plan, "bucket0.pull"),
              UnorderedElementsAre("fc2.weight.update", "fc2.bias.update", "fc1.weight.update",
                                   "fc1.bias.update"));
  EXPECT_EQ(task_named(plan, "bucket0.pull").resource, Resource::kNetwork);
}

TEST(TaskEmitterTest, AccumulationRepeatsForwardAndBackward) {
  const LoweredPlan plan =
      lowered(two_layers(), plan_with(two_layers(), SyncMethod::kAllReduce, 2, 4, 3));
  std::map<std::string, int> count;
  for (const Task& task : plan.program.tasks) {
    std::string name = task_name(plan.training, plan.program, task);
    ++count[name.substr(0, name.find(" #"))];
  }
  EXPECT_EQ(count["batch"], 3);
  EXPECT_EQ(count["fc1"], 3);
  EXPECT_EQ(count["fc1.weight.accumulate"], 3);
  EXPECT_EQ(count["bucket0.all_reduce"], 1);
  EXPECT_EQ(count["fc1.weight.update"], 1);
  EXPECT_THAT(predecessors(plan, "fc1.bias.accumulate #1"),
              ElementsAre("fc1.bias.accumulate #0", "fc1.backward_weight #1"));
  EXPECT_THAT(predecessors(plan, "bucket0.all_reduce #2"),
              ElementsAre("fc2.weight.accumulate #2", "fc2.bias.accumulate #2",
                          "fc1.weight.accumulate #2", "fc1.bias.accumulate #2"));
}

TEST(TaskEmitterTest, ABatchWaitsForTheReadersOfItsInputSet) {
  const LoweredPlan plan =
      lowered(two_layers(), plan_with(two_layers(), SyncMethod::kAllReduce, 2, 4, 3));
  EXPECT_THAT(predecessors(plan, "batch #1"), IsEmpty());
  EXPECT_THAT(predecessors(plan, "batch #2"),
              ElementsAre("fc1 #0", "loss #0", "loss.backward #0", "fc1.backward_weight #0"));
  const auto batch = std::get<BatchTask>(task_named(plan, "batch #1").payload);
  EXPECT_EQ(batch.bytes, Bytes(4 * (4 * 4 + 4)));  // 4 samples of 4 features and a label
}

TEST(TaskEmitterTest, FactorGathersRepeatPerMicroBatch) {
  const LoweredPlan plan =
      lowered(two_layers(), plan_with(two_layers(), SyncMethod::kSufficientFactor, 2, 4, 3));
  EXPECT_EQ(collectives(plan).size(), 12U);
}

TEST(TaskEmitterTest, ShardsPartitionEveryBucket) {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    const ModelGraph model = RandomModel::make(seed);
    Plan plan = plan_with(model, SyncMethod::kParameterServer, 5);
    plan.servers = {4, 1, 3};
    const LoweredPlan result = lowered(model, plan);
    std::int64_t bucket_elements = 0;
    for (const auto& trained : result.training.trained) {
      bucket_elements += result.training.graph.tensor(trained.parameter).type.elements(1);
    }
    std::vector<std::int64_t> owned(3);
    for (const Task& task : result.program.tasks) {
      const auto* op = std::get_if<OpTask>(&task.payload);
      if (op == nullptr || op->shards.empty()) continue;
      ASSERT_EQ(op->shards.size(), 3U);
      std::int64_t next = 0;  // the ranges follow each other and end at the end
      for (std::size_t server = 0; server < 3; ++server) {
        const ElementRange range = op->shards[server];
        if (range.empty()) continue;
        EXPECT_EQ(range.begin, next);
        next = range.end;
        owned[server] += range.end - range.begin;
      }
      EXPECT_EQ(next, op->shards.elements);
    }
    for (int server = 0; server < 3; ++server) {
      const ElementRange shard = shard_range(bucket_elements, server, 3);
      EXPECT_EQ(owned[static_cast<std::size_t>(server)], shard.end - shard.begin) << seed;
    }
  }
}

TEST(TaskEmitterTest, OnlyServerBucketsAreSharded) {
  Plan plan = plan_with(two_layers(), SyncMethod::kParameterServer, 2);
  plan.buckets = {{SyncMethod::kParameterServer, {"fc2.weight", "fc2.bias"}},
                  {SyncMethod::kAllReduce, {"fc1.weight", "fc1.bias"}}};
  const LoweredPlan result = lowered(two_layers(), plan);
  const auto shards = [&](const std::string& name) {
    return std::get<OpTask>(task_named(result, name).payload).shards;
  };
  EXPECT_EQ(shards("fc2.bias.update"), (ShardSplit{21, 18, 3, 2}));
  EXPECT_TRUE(shards("fc1.bias.update").empty());
  EXPECT_TRUE(shards("fc2").empty());
}

TEST(TaskEmitterTest, RandomPlansAreInTopologicalOrder) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const ModelGraph model = RandomModel::make(seed);
    const Plan plan = random_plan(model, seed, 1 + static_cast<int>(seed % 4), 2,
                                  1 + static_cast<std::int64_t>(seed % 3));
    const LoweredPlan result = lowered(model, plan);
    EXPECT_THAT(wiring_faults(result.training), IsEmpty()) << seed;
    EXPECT_EQ(names(result), names(lowered(model, plan)));
    for (std::size_t i = 0; i < result.program.tasks.size(); ++i) {
      const Task& task = result.program.tasks[i];
      EXPECT_EQ(task.id, TaskId(i));
      for (TaskId before : task.predecessors) EXPECT_LT(before, task.id);
      EXPECT_TRUE(std::is_sorted(task.predecessors.begin(), task.predecessors.end()));
    }
  }
}

TEST(TaskEmitterTest, CollectivesAreIssuedWhenTheyAreReady) {
  // Wait-free backpropagation: the first bucket is on the wire before backward goes on.
  Plan plan = plan_for(two_layers(), 2);
  plan.buckets = {{SyncMethod::kAllReduce, {"fc2.weight", "fc2.bias"}},
                  {SyncMethod::kAllReduce, {"fc1.weight", "fc1.bias"}}};
  const LoweredPlan result = lowered(two_layers(), plan);
  const Task& first = task_named(result, "bucket0.all_reduce");
  EXPECT_EQ(first.id.index(), task_named(result, "fc2.backward_weight").id.index() + 1);
  EXPECT_THAT(predecessors(result, "bucket0.all_reduce"), ElementsAre("fc2.backward_weight"));
}

}  // namespace
}  // namespace pluto
