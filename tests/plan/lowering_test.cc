#include "plan/lowering.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <functional>

#include "model/zoo.h"
#include "plan/memory_plan.h"
#include "tests/plan/lowered_plans.h"
#include "tests/support/block_models.h"
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
using pluto::testing::RandomModel;
using pluto::testing::two_layers;
using pluto::testing::wiring_faults;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

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
  const auto apart = names(lowered(model, plan));
  EXPECT_TRUE(Plan{}.fuse);
  plan.fuse = true;
  const auto fused = names(lowered(model, plan));
  EXPECT_EQ(std::count(fused.begin(), fused.end(), "act"), 0);
  EXPECT_EQ(std::count(apart.begin(), apart.end(), "act"), 1);
}

TEST(LoweringTest, RecomputeIsThePlansChoice) {
  Plan plan = plan_for(pluto::testing::residual_block());
  const auto copies = [&] {
    int count = 0;
    for (const std::string& name : names(lowered(pluto::testing::residual_block(), plan))) {
      count += name.ends_with(".recompute") ? 1 : 0;
    }
    return count;
  };
  EXPECT_EQ(copies(), 0);
  plan.recompute = Recompute::kSelective;
  EXPECT_GT(copies(), 0);
}

TEST(LoweringTest, RefusesAnotherModel) {
  const Plan plan = plan_for(pluto::testing::tied_layers());
  EXPECT_THAT(error_of(two_layers(), plan),
              HasSubstr("the plan was made for a model with fingerprint"));
}

TEST(LoweringTest, RefusesLayoutsItCannotRun) {
  Plan plan = plan_for(two_layers());
  plan.cluster.nodes = 4;
  plan.layout.pipeline = 4;
  EXPECT_THAT(error_of(two_layers(), plan), HasSubstr("layout.pipeline is 4"));
}

TEST(LoweringTest, RefusesWaysToSynchroniseThatDoNotGoTogether) {
  const auto all_reduce = SyncMethod::kAllReduce;
  const auto shard = [](int stage) {
    return [stage](Plan& plan) {
      plan.shard = stage;
      plan.buckets[0].method = SyncMethod::kShard;
    };
  };
  const auto apart = [](SyncMethod method) {
    return [method](Plan& plan) {
      plan.server_nodes = 1;
      plan.cluster.nodes += 1;
      plan.servers = {plan.layout.ranks()};
      plan.buckets[0].method = method;
    };
  };
  const auto priority = [](Plan& plan) { plan.priority = true; };
  const std::vector<std::pair<std::string, std::function<void(Plan&)>>> whole = {
      {"shard above 0", shard(1)},
      {"shard above 1", shard(2)},
      {"local.steps above 1", [](Plan& plan) { plan.local.steps = 4; }},
      {"server_nodes above 0", apart(SyncMethod::kParameterServer)},
      {"priority", priority},
      {"method factor_server",
       [](Plan& plan) {
         plan.servers = {0};
         plan.buckets[0].method = SyncMethod::kFactorServer;
       }},
      {"wire in 16 bits", [](Plan& plan) { plan.buckets[0].wire = DType::kBF16; }},
      {"chunks above 1", [](Plan& plan) { plan.buckets[0].chunks = 2; }},
  };
  const std::vector<std::pair<std::string, std::function<void(Plan&)>>> split = {
      {"layout.pipeline above 1", [](Plan& plan) { plan.layout.pipeline = 2; }},
      {"layout.tensor above 1", [](Plan& plan) { plan.layout.tensor = 2; }},
      {"layout.context above 1", [](Plan& plan) { plan.layout.context = 2; }},
      {"expert above 1", [](Plan& plan) { plan.expert = 2; }},
      {"sharded", [](Plan& plan) { plan.sharded = {"fc1"}; }},
  };
  const auto expect_refused = [&](Plan plan, const std::string& words) {
    plan.cluster.nodes = plan.layout.ranks() + plan.server_nodes;
    const auto result = transformed(two_layers(), plan);
    ASSERT_FALSE(result.ok()) << words;
    EXPECT_EQ(result.error().code, ErrorCode::kUnsupported) << words;
    EXPECT_THAT(result.error().message, HasSubstr(words));
  };
  // What tensor and context ranks hold is synchronised as a whole model is; of stages ZeRO 1 is.
  const auto lowered_together = [](const std::string& field, const std::string& with) {
    const bool sharded = field.starts_with("shard");
    const bool groups = with.starts_with("layout.tensor") || with.starts_with("layout.context");
    if (groups) return sharded || field == "wire in 16 bits" || field == "chunks above 1";
    return field == "shard above 0" && with.starts_with("layout.pipeline");
  };
  for (const auto& [field, change] : whole) {
    for (const auto& [with, divide] : split) {
      if (lowered_together(field, with)) continue;
      const bool of_data = with == "sharded" || with == "expert above 1";
      if (of_data && field == "shard above 1") continue;  // "shard above 0"
      Plan plan = plan_with(two_layers(), all_reduce, 2);
      divide(plan);
      change(plan);
      expect_refused(plan, field + " with " + with);
    }
  }
  for (const int stage : {2, 3}) {
    Plan plan = plan_with(two_layers(), all_reduce, 2);
    shard(stage)(plan);
    priority(plan);
    expect_refused(plan, "priority with shard above 1");
  }
  Plan plan = plan_with(two_layers(), all_reduce, 2);
  apart(SyncMethod::kFactorServer)(plan);
  priority(plan);
  expect_refused(plan, "priority with factor_server on server_nodes");
  plan = plan_with(two_layers(), all_reduce, 2);
  shard(3)(plan);
  plan.precision = TrainPrecision::kBf16;
  expect_refused(plan, "shard 3 with precision in 16 bits");
}

TEST(LoweringTest, NamesWhatCannotBeSplit) {
  Plan plan = plan_for(two_layers());
  plan.cluster.nodes = 4;
  plan.layout.tensor = 4;
  const auto tensor = lower(two_layers(), plan);
  ASSERT_FALSE(tensor.ok());
  EXPECT_EQ(tensor.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(tensor.error().message, HasSubstr("layout.tensor: node fc1 (linear): 6 features"));
  plan.layout.tensor = 1;
  plan.layout.context = 2;
  plan.buckets = {{SyncMethod::kAllReduce, {"fc1.weight"}}};
  EXPECT_THAT(error_of(two_layers(), plan), HasSubstr("has no attention"));
  plan = plan_for(two_layers(), 2);
  plan.expert = 2;
  EXPECT_THAT(error_of(two_layers(), plan), HasSubstr("expert: model two-layers has no experts"));
  plan = plan_with(two_layers(), SyncMethod::kSufficientFactor, 2);
  plan.cluster.nodes = 4;
  plan.layout.tensor = 2;
  EXPECT_THAT(error_of(two_layers(), plan), HasSubstr("sufficient_factor with layout.tensor"));
  plan = plan_with(two_layers(), SyncMethod::kParameterServer, 2);
  plan.cluster.nodes = 4;
  plan.layout.tensor = 2;
  EXPECT_THAT(error_of(two_layers(), plan), HasSubstr("parameter_server with layout.tensor"));
  plan = plan_for(two_layers(), 2);
  plan.cluster.nodes = 4;
  plan.sharded = {"fc1"};
  plan.layout.tensor = 2;
  EXPECT_THAT(error_of(two_layers(), plan), HasSubstr("sharded with layout.tensor"));
}

TEST(LoweringTest, ShardedLayersAreInNoBucket) {
  Plan plan = plan_for(two_layers(), 2);
  plan.sharded = {"fc1"};
  EXPECT_THAT(error_of(two_layers(), plan), HasSubstr("but each rank has its own part"));
  const auto order = gradient_order(two_layers(), plan);
  ASSERT_TRUE(order.ok());
  ASSERT_EQ(order->size(), 2U);
  EXPECT_EQ((*order)[0].name, "fc2.weight");
  plan.buckets[0].parameters = {"fc2.weight", "fc2.bias"};
  const LoweredPlan result = lowered(two_layers(), plan);
  EXPECT_THAT(wiring_faults(result.training), IsEmpty());
  // Updated all the same, last.
  ASSERT_EQ(result.training.trained.size(), 4U);
  const auto& last = result.training.trained[3];
  EXPECT_EQ(result.training.graph.tensor(last.parameter).name, "fc1.bias");
  EXPECT_EQ(result.training.graph.tensor(last.parameter).type.shape, (Shape{{3}}));
}

TEST(LoweringTest, MoreTensorRanksNeverMakeARankDoOrHoldMore) {
  const ModelGraph model = pluto::testing::tiny_gpt(3, 8);
  for (const bool sequence_parallel : {false, true}) {
    double last_flops = 0;
    Bytes last_memory;
    for (const int tensor : {1, 2, 4}) {
      Plan plan = plan_for(model, 1, 4);
      plan.cluster.nodes = tensor;
      plan.layout.tensor = tensor;
      plan.sequence_parallel = sequence_parallel && tensor > 1;
      const LoweredPlan result = lowered(model, plan);
      EXPECT_THAT(wiring_faults(result.training), IsEmpty());
      double flops = 0;
      for (const Op& op : result.training.graph.ops()) {
        flops += op_work(result.training.graph, op, 4).flops.value();
      }
      const Bytes memory = plan_memory(result.training, result.program, {}).breakdown.total();
      if (tensor > 1) {
        EXPECT_LT(flops, last_flops) << tensor;
        EXPECT_LT(memory, last_memory) << tensor;
      }
      last_flops = flops;
      last_memory = memory;
    }
  }
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
