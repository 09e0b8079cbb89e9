#include "plan/lowering.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <map>

#include "model/zoo.h"
#include "tests/support/graph_checks.h"
#include "tests/support/random_model.h"
#include "tests/support/toy_models.h"
#include "tests/support/toy_plan.h"

namespace pluto {
namespace {

using pluto::testing::plan_for;
using pluto::testing::plan_with;
using pluto::testing::random_plan;
using pluto::testing::RandomModel;
using pluto::testing::two_layers;
using pluto::testing::wiring_faults;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

LoweredPlan lowered(const ModelGraph& model, const Plan& plan) {
  auto result = lower(model, plan);
  EXPECT_TRUE(result.ok()) << result.error().message;
  return result.ok() ? std::move(*result) : LoweredPlan{};
}

std::vector<std::string> names(const LoweredPlan& plan) {
  std::vector<std::string> result;
  for (const Task& task : plan.program.tasks) {
    result.push_back(task_name(plan.training, plan.program, task));
  }
  return result;
}

const Task& task_named(const LoweredPlan& plan, const std::string& name) {
  const auto all = names(plan);
  const auto found = std::find(all.begin(), all.end(), name);
  EXPECT_NE(found, all.end()) << name;
  return plan.program.tasks[static_cast<std::size_t>(found - all.begin())];
}

std::vector<std::string> predecessors(const LoweredPlan& plan, const std::string& name) {
  std::vector<std::string> result;
  for (TaskId id : task_named(plan, name).predecessors) {
    result.push_back(task_name(plan.training, plan.program, plan.program.tasks[id.index()]));
  }
  return result;
}

std::vector<CollectiveTask> collectives(const LoweredPlan& plan) {
  std::vector<CollectiveTask> result;
  for (const Task& task : plan.program.tasks) {
    if (const auto* collective = std::get_if<CollectiveTask>(&task.payload)) {
      result.push_back(*collective);
    }
  }
  return result;
}

std::string error_of(const ModelGraph& model, const Plan& plan) {
  const auto result = lower(model, plan);
  return result.ok() ? "no error" : result.error().message;
}

TEST(LoweringTest, OneRankComputesOnly) {
  const LoweredPlan plan = lowered(two_layers(), plan_for(two_layers()));
  EXPECT_THAT(names(plan), ElementsAre("batch", "fc1", "act1", "fc2", "loss", "loss.backward",
                                       "fc2.backward_weight", "fc2.backward_data", "act1.backward",
                                       "fc1.backward_weight", "fc2.weight.update",
                                       "fc2.bias.update", "fc1.weight.update", "fc1.bias.update"));
  for (const Task& task : plan.program.tasks) {
    EXPECT_NE(task.resource, Resource::kNetwork);
    EXPECT_EQ(task.resource == Resource::kInput, std::holds_alternative<BatchTask>(task.payload));
  }
  EXPECT_EQ(plan.program.ranks, 1);
}

TEST(LoweringTest, InTwoPartsItGivesTheSame) {
  for (const SyncMethod method :
       {SyncMethod::kAllReduce, SyncMethod::kParameterServer, SyncMethod::kSufficientFactor}) {
    const Plan plan = plan_with(two_layers(), method, 2, 2, 3);
    // The first part may come from a plan with other buckets.
    const auto first =
        unsynchronized(two_layers(), plan_with(two_layers(), SyncMethod::kAllReduce, 2, 2, 3));
    ASSERT_TRUE(first.ok()) << first.error().message;
    const auto second = lower(*first, plan);
    ASSERT_TRUE(second.ok()) << second.error().message;
    const LoweredPlan whole = lowered(two_layers(), plan);
    EXPECT_EQ(second->training.graph.fingerprint(), whole.training.graph.fingerprint());
    EXPECT_EQ(names(*second), names(whole));
  }
}

TEST(LoweringTest, PredecessorsAreDataDependencies) {
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

TEST(LoweringTest, PullsFollowTheUpdatesOfTheirBucket) {
  const LoweredPlan plan =
      lowered(two_layers(), plan_with(two_layers(), SyncMethod::kParameterServer, 2));
  EXPECT_THAT(predecessors(plan, "bucket0.pull"),
              UnorderedElementsAre("fc2.weight.update", "fc2.bias.update", "fc1.weight.update",
                                   "fc1.bias.update"));
  EXPECT_EQ(task_named(plan, "bucket0.pull").resource, Resource::kNetwork);
}

TEST(LoweringTest, CollectivesAreIssuedWhenTheyAreReady) {
  // Wait-free backpropagation: the first bucket is on the wire before backward goes on.
  Plan plan = plan_for(two_layers(), 2);
  plan.buckets = {{SyncMethod::kAllReduce, {"fc2.weight", "fc2.bias"}},
                  {SyncMethod::kAllReduce, {"fc1.weight", "fc1.bias"}}};
  const LoweredPlan result = lowered(two_layers(), plan);
  const Task& first = task_named(result, "bucket0.all_reduce");
  EXPECT_EQ(first.id.index(), task_named(result, "fc2.backward_weight").id.index() + 1);
  EXPECT_THAT(predecessors(result, "bucket0.all_reduce"), ElementsAre("fc2.backward_weight"));
}

TEST(LoweringTest, AllReduceCarriesTheWholeBucket) {
  const LoweredPlan plan =
      lowered(two_layers(), plan_with(two_layers(), SyncMethod::kAllReduce, 4, 8));
  ASSERT_EQ(collectives(plan).size(), 1U);
  const CollectiveTask task = collectives(plan)[0];
  EXPECT_EQ(task.kind, CollectiveKind::kAllReduce);
  EXPECT_EQ(task.bytes, Bytes(4 * (6 * 4 + 6 + 3 * 6 + 3)));
}

TEST(LoweringTest, ServersScatterAndGatherTheWholeBucket) {
  Plan plan = plan_with(two_layers(), SyncMethod::kParameterServer, 4, 8);
  plan.servers = {0, 2};
  const auto tasks = collectives(lowered(two_layers(), plan));
  ASSERT_EQ(tasks.size(), 2U);
  EXPECT_EQ(tasks[0].kind, CollectiveKind::kReduceScatter);
  EXPECT_EQ(tasks[1].kind, CollectiveKind::kAllGather);
  for (const CollectiveTask& task : tasks) {
    EXPECT_EQ(task.bytes, Bytes(4 * 51));
    EXPECT_EQ(task.servers, 2);
  }
}

TEST(LoweringTest, FactorsCarryRowsOfAllRanks) {
  const LoweredPlan plan =
      lowered(two_layers(), plan_with(two_layers(), SyncMethod::kSufficientFactor, 4, 8));
  // dy(3) and act1(6) of fc2, then dy(6) and x(4) of fc1; 8 samples of each of 4 ranks.
  std::vector<std::int64_t> floats_per_sample;
  for (const CollectiveTask& task : collectives(plan)) {
    EXPECT_EQ(task.kind, CollectiveKind::kAllGather);
    EXPECT_EQ(task.servers, 4);
    floats_per_sample.push_back(task.bytes.value() / (4 * 8 * 4));
  }
  EXPECT_THAT(floats_per_sample, ElementsAre(3, 6, 6, 4));
}

TEST(LoweringTest, AccumulationRepeatsForwardAndBackward) {
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

TEST(LoweringTest, ABatchWaitsForTheReadersOfItsInputSet) {
  const LoweredPlan plan =
      lowered(two_layers(), plan_with(two_layers(), SyncMethod::kAllReduce, 2, 4, 3));
  EXPECT_THAT(predecessors(plan, "batch #1"), IsEmpty());
  EXPECT_THAT(predecessors(plan, "batch #2"),
              ElementsAre("fc1 #0", "loss #0", "loss.backward #0", "fc1.backward_weight #0"));
  const auto batch = std::get<BatchTask>(task_named(plan, "batch #1").payload);
  EXPECT_EQ(batch.bytes, Bytes(4 * (4 * 4 + 4)));  // 4 samples of 4 features and a label
}

TEST(LoweringTest, FactorGathersRepeatPerMicroBatch) {
  const LoweredPlan plan =
      lowered(two_layers(), plan_with(two_layers(), SyncMethod::kSufficientFactor, 2, 4, 3));
  EXPECT_EQ(collectives(plan).size(), 12U);
}

TEST(LoweringTest, ShardsPartitionEveryBucket) {
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

TEST(LoweringTest, OnlyServerBucketsAreSharded) {
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

TEST(LoweringTest, SizeDoesNotDependOnRanks) {
  for (SyncMethod method :
       {SyncMethod::kAllReduce, SyncMethod::kParameterServer, SyncMethod::kSufficientFactor}) {
    const LoweredPlan few = lowered(two_layers(), plan_with(two_layers(), method, 2));
    const LoweredPlan many = lowered(two_layers(), plan_with(two_layers(), method, 4096));
    EXPECT_EQ(names(few), names(many));
    for (std::size_t i = 0; i < few.program.tasks.size(); ++i) {
      EXPECT_EQ(few.program.tasks[i].predecessors, many.program.tasks[i].predecessors);
    }
  }
}

TEST(LoweringTest, RandomPlansAreInTopologicalOrder) {
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

TEST(LoweringTest, EveryModelOfTheZooLowers) {
  for (const std::string& name : zoo_names()) {
    const ModelGraph model = build_model(name).value();
    const LoweredPlan result = lowered(model, plan_with(model, SyncMethod::kAllReduce, 8, 4, 2));
    EXPECT_THAT(wiring_faults(result.training), IsEmpty()) << name;
    std::int64_t elements = 0;
    for (const auto& trained : result.training.trained) {
      elements += result.training.graph.tensor(trained.parameter).type.elements(1);
    }
    ASSERT_EQ(collectives(result).size(), 1U);
    EXPECT_EQ(collectives(result)[0].bytes, Bytes(4 * elements)) << name;
  }
}

TEST(LoweringTest, FuseIsThePlansChoice) {
  const ModelGraph model = pluto::testing::residual_block();
  Plan plan = plan_for(model);
  const auto fused = names(lowered(model, plan));
  plan.fuse = false;
  const auto apart = names(lowered(model, plan));
  EXPECT_EQ(std::count(fused.begin(), fused.end(), "act"), 0);
  EXPECT_EQ(std::count(apart.begin(), apart.end(), "act"), 1);
}

TEST(LoweringTest, RefusesAnotherModel) {
  const Plan plan = plan_for(pluto::testing::tied_layers());
  EXPECT_THAT(error_of(two_layers(), plan),
              HasSubstr("the plan was made for a model with fingerprint"));
}

TEST(LoweringTest, RefusesLayoutsItCannotRun) {
  Plan plan = plan_for(two_layers());
  plan.cluster.nodes = 4;
  plan.layout.tensor = 2;
  const auto tensor = lower(two_layers(), plan);
  ASSERT_FALSE(tensor.ok());
  EXPECT_EQ(tensor.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(tensor.error().message, HasSubstr("tensor parallelism of degree 2"));
  plan.layout.tensor = 1;
  plan.layout.pipeline = 4;
  EXPECT_THAT(error_of(two_layers(), plan), HasSubstr("pipeline parallelism of degree 4"));
}

TEST(LoweringTest, NamesTheBucketThatIsWrong) {
  Plan plan = plan_for(two_layers(), 2);
  plan.buckets[0].parameters[0] = "fc2.weigth";
  const auto typo = lower(two_layers(), plan);
  ASSERT_FALSE(typo.ok());
  EXPECT_EQ(typo.error().code, ErrorCode::kInvalidInput);
  EXPECT_THAT(typo.error().message,
              HasSubstr("buckets[0]: the model has no parameter 'fc2.weigth'"));
  EXPECT_THAT(typo.error().help, HasSubstr("fc2.weight"));

  plan = plan_for(two_layers(), 2);
  plan.buckets[0].parameters.pop_back();
  EXPECT_THAT(error_of(two_layers(), plan), HasSubstr("fc1.bias is in no bucket"));

  plan = plan_with(pluto::testing::tied_layers(), SyncMethod::kSufficientFactor, 2);
  EXPECT_THAT(error_of(pluto::testing::tied_layers(), plan), HasSubstr("shared is not the weight"));
}

TEST(LoweringTest, RefusesAPlanThatContradictsItself) {
  Plan plan = plan_for(two_layers(), 2);
  plan.global_batch = 3;
  EXPECT_THAT(error_of(two_layers(), plan), HasSubstr("global_batch"));
  plan = plan_for(two_layers(), 1, 1, 100000);
  EXPECT_THAT(error_of(two_layers(), plan), HasSubstr("accumulation over 100000 micro-batches"));
}

TEST(LoweringTest, GradientOrderTellsWhatABucketChoiceNeeds) {
  const auto order = gradient_order(two_layers(), Plan{});
  ASSERT_TRUE(order.ok()) << order.error().message;
  ASSERT_EQ(order->size(), 4U);
  const GradientInfo& weight = (*order)[0];
  EXPECT_EQ(weight.name, "fc2.weight");
  EXPECT_EQ(weight.bytes, Bytes(72));
  EXPECT_EQ(weight.rows, 3);
  EXPECT_EQ(weight.columns, 6);
  EXPECT_EQ(weight.factor_rows, 1);
  EXPECT_TRUE(weight.sufficient_factors);
  EXPECT_TRUE(weight.factors_of.empty());
  const GradientInfo& bias = (*order)[1];
  EXPECT_EQ(bias.name, "fc2.bias");
  EXPECT_EQ(bias.rows, 0);
  EXPECT_TRUE(bias.sufficient_factors);
  EXPECT_EQ(bias.factors_of, "fc2.weight");
}

TEST(LoweringTest, GradientOrderIsThatOfTheLoweredPlan) {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    const ModelGraph model = RandomModel::make(seed);
    const Plan plan = plan_for(model);
    const auto order = gradient_order(model, plan);
    const LoweredPlan result = lowered(model, plan);
    ASSERT_EQ(order->size(), result.training.trained.size());
    for (std::size_t i = 0; i < order->size(); ++i) {
      const auto& trained = result.training.trained[i];
      EXPECT_EQ((*order)[i].name, result.training.graph.tensor(trained.parameter).name);
    }
  }
}

TEST(LoweringTest, FactorRowsCountTheSequence) {
  GraphBuilder b;
  ModelGraph model;
  model.inputs = {b.input("x", {{7, 4}})};
  model.labels = b.input("labels", {{7}}, DType::kI32);
  const TensorId w = b.parameter("w", {{5, 4}}, {});
  model.logits = b.forward("fc", OpKind::kLinear, LinearAttrs{5, false}, {model.inputs[0], w});
  model.loss =
      b.forward("loss", OpKind::kSoftmaxCrossEntropy, NoAttrs{}, {model.logits, model.labels});
  const auto order =
      gradient_order(pluto::testing::finished(std::move(b), std::move(model)), Plan{});
  ASSERT_TRUE(order.ok()) << order.error().message;
  EXPECT_EQ((*order)[0].factor_rows, 7);
}

}  // namespace
}  // namespace pluto
