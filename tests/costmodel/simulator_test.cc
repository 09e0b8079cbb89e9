#include "costmodel/simulator.h"

#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "costmodel/collective_time.h"
#include "costmodel/schedule.h"
#include "costmodel/signature_key.h"
#include "costmodel/uncertainty.h"
#include "tests/support/small_models.h"
#include "tests/support/table_costs.h"

namespace pluto {
namespace {

using testing::perceptron;
using testing::small_convnet;
using testing::TableCosts;
using testing::test_cluster;

Plan plan_for(const ModelGraph& model, int ranks, std::vector<BucketPlan> buckets,
              std::int64_t micro = 4, std::int64_t accumulation = 1) {
  Plan plan;
  plan.model_fingerprint = model.graph.fingerprint();
  plan.model.source = model.name;
  plan.cluster = test_cluster(ranks, 1);
  plan.dataset_samples = 1000;
  plan.data.samples = 1000;
  plan.layout.data = ranks;
  plan.micro_batch = micro;
  plan.accumulation = accumulation;
  plan.global_batch = ranks * micro * accumulation;
  plan.buckets = std::move(buckets);
  for (const auto& bucket : plan.buckets) {
    if (bucket.method != SyncMethod::kParameterServer || !plan.servers.empty()) continue;
    for (int rank = 0; rank < ranks; ++rank) plan.servers.push_back(rank);
  }
  return plan;
}

LoweredPlan lowered(const ModelGraph& model, const Plan& plan) {
  auto result = lower(model, plan);
  EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message);
  return std::move(result).value();
}

SimulatedStep run(const LoweredPlan& lowered, const ClusterSpec& cluster, const CostSource& costs) {
  auto step = simulate(lowered, cluster, DataChoice{}, costs);
  EXPECT_TRUE(step.ok());
  return std::move(step).value();
}

/// Seconds by kind and pass of a two-layer perceptron; each update takes 0.5 s per 100 elements.
double two_layer_seconds(const OpSignature& op) {
  if (op.kind == OpKind::kSgd) return 0.005 * static_cast<double>(op.inputs.front().elements(1));
  if (op.kind == OpKind::kLinear && op.pass == OpPass::kForward) return 1;
  if (op.kind == OpKind::kLinear && op.pass == OpPass::kBackwardWeight) return 2;
  if (op.kind == OpKind::kLinear && op.pass == OpPass::kBackwardData) return 3;
  return 0;
}

/// Two layers 10 x 10 and 10 x 10 (weights of 100 elements, biases of 10).
class TwoLayers : public ::testing::Test {
 protected:
  TwoLayers() { costs.op_seconds = two_layer_seconds; }
  std::vector<BucketPlan> per_layer(SyncMethod last, SyncMethod first) {
    return {{last, {"fc1.w", "fc1.b"}}, {first, {"fc0.w", "fc0.b"}}};
  }
  ModelGraph model = perceptron({10, 10, 10});
  TableCosts costs;
};

TEST_F(TwoLayers, OnOneRankTakeTheSumOfTheirOps) {
  const auto plan = plan_for(model, 1, {});
  const auto step = run(lowered(model, plan), plan.cluster, costs);
  // forward 1 + 1; backward weight 2 + 2; backward data of the second layer 3; updates 2 * (0.5 +
  // 0.05)
  EXPECT_DOUBLE_EQ(step.compute.value(), 9);
  EXPECT_DOUBLE_EQ(step.update.value(), 1.1);
  EXPECT_NEAR(step.makespan.value(), 10.1, 1e-12);
  EXPECT_EQ(step.exposed_comm.value(), 0);
}

TEST_F(TwoLayers, HideTheFirstBucketBehindTheRestOfBackward) {
  costs.collective_seconds = [](const CollectiveCall&, const ClusterSpec&) { return 4.0; };
  const auto plan = plan_for(model, 2, per_layer(SyncMethod::kAllReduce, SyncMethod::kAllReduce));
  const auto step = run(lowered(model, plan), plan.cluster, costs);
  // Forward ends at 2; the weight gradient of fc1 at 4; its bucket runs 4..8 while backward ends at
  // 9; the bucket of fc0 runs 9..13; the updates of fc1 (0.55) hide in it, those of fc0 do not.
  EXPECT_NEAR(step.makespan.value(), 13.55, 1e-12);
  EXPECT_NEAR(step.exposed_comm.value(), 13.55 - 9 - 1.1, 1e-12);
}

TEST_F(TwoLayers, AreSlowedByWhatCommunicationTakesFromTheProcessor) {
  costs.collective_seconds = [](const CollectiveCall&, const ClusterSpec&) { return 4.0; };
  costs.cpu_share = 0.5;
  const auto plan = plan_for(model, 2, per_layer(SyncMethod::kAllReduce, SyncMethod::kAllReduce));
  const auto step = run(lowered(model, plan), plan.cluster, costs);
  // Backward has 5 s left at 4; from 4 to 8 it does 2 of them, so it ends at 11. The bucket of fc0
  // runs 11..15.
  EXPECT_NEAR(step.makespan.value(), 15.55, 1e-12);
}

/// Collectives whose sharing is known less well than their time.
class SharedCosts : public TableCosts {
 public:
  CollectiveCost collective(const CollectiveCall& call, const ClusterSpec& cluster) const override {
    CollectiveCost cost = TableCosts::collective(call, cluster);
    cost.beside_compute = 0.8;
    cost.sharing_spread = 0.45;
    cost.sharing_evidence = Evidence::kAssumed;
    return cost;
  }
};

TEST_F(TwoLayers, SlowDownBothSidesAndAreAsSureAsTheirSharing) {
  SharedCosts shared;
  shared.op_seconds = costs.op_seconds;
  shared.collective_seconds = [](const CollectiveCall&, const ClusterSpec&) { return 4.0; };
  shared.cpu_share = 0.4;
  const auto plan = plan_for(model, 2, per_layer(SyncMethod::kAllReduce, SyncMethod::kAllReduce));
  const auto step = run(lowered(model, plan), plan.cluster, shared);
  // The bucket of fc1 runs 4..9 at 0.8, backward does 3 of its 5 s meanwhile and ends at 11; the
  // bucket of fc0 begins at 11, beside the updates of fc1 (0.55 at 0.6) at 0.8.
  const double beside = 0.55 / 0.6;
  EXPECT_NEAR(step.makespan.value(), 11 + beside + (4 - 0.8 * beside) + 0.55, 1e-12);
  EXPECT_EQ(step.comm_evidence, Evidence::kAssumed);
  EXPECT_GE(step.comm_spread, 0.45);
}

TEST_F(TwoLayers, WaitForOneBucketOfEverything) {
  costs.collective_seconds = [](const CollectiveCall&, const ClusterSpec&) { return 4.0; };
  const auto plan =
      plan_for(model, 2, {{SyncMethod::kAllReduce, {"fc1.w", "fc1.b", "fc0.w", "fc0.b"}}});
  EXPECT_NEAR(run(lowered(model, plan), plan.cluster, costs).makespan.value(), 9 + 4 + 1.1, 1e-12);
}

TEST_F(TwoLayers, UpdateOnlyAShardPerServer) {
  costs.collective_seconds = [](const CollectiveCall&, const ClusterSpec&) { return 4.0; };
  const auto plan =
      plan_for(model, 2, {{SyncMethod::kParameterServer, {"fc1.w", "fc1.b", "fc0.w", "fc0.b"}}});
  const auto step = run(lowered(model, plan), plan.cluster, costs);
  // 220 elements in one slice, 110 of them per server: 0.55 s of updates.
  EXPECT_NEAR(step.update.value(), 0.55, 1e-12);
  EXPECT_NEAR(step.makespan.value(), 9 + 4 + 0.55 + 4, 1e-12);
}

TEST_F(TwoLayers, RebuildGradientsFromGatheredFactorsAfterBackward) {
  costs.op_seconds = [](const OpSignature& op) {
    const bool gathered = !op.inputs.empty() && op.inputs.front().batch_multiple == 2;
    return gathered ? 2 * two_layer_seconds(op) : two_layer_seconds(op);
  };
  costs.collective_seconds = [](const CollectiveCall&, const ClusterSpec&) { return 0.25; };
  const auto plan =
      plan_for(model, 2, per_layer(SyncMethod::kSufficientFactor, SyncMethod::kSufficientFactor));
  const auto step = run(lowered(model, plan), plan.cluster, costs);
  // Forward 2, data gradient 3, then both products over twice the rows: 4 each, and the updates.
  EXPECT_NEAR(step.compute.value(), 2 + 3 + 8, 1e-12);
  EXPECT_NEAR(step.makespan.value(), 13 + 1.1 + step.exposed_comm.value(), 1e-12);
  EXPECT_LE(step.exposed_comm.value(), 4 * 0.25);
}

TEST_F(TwoLayers, RepeatForwardAndBackwardPerMicroBatch) {
  const auto plan = plan_for(model, 1, {}, 4, 3);
  const auto step = run(lowered(model, plan), plan.cluster, costs);
  EXPECT_NEAR(step.compute.value(), 27, 1e-12);
  EXPECT_NEAR(step.update.value(), 1.1, 1e-12);
}

TEST_F(TwoLayers, AreBoundByReadingOnlyWhenItIsSlower) {
  const auto plan = plan_for(model, 1, {}, 4, 2);
  const auto program = lowered(model, plan);
  costs.input_seconds = 1;  // 8 samples, two readers: 4 s
  DataChoice data;
  data.readers = 2;
  EXPECT_EQ(simulate(program, plan.cluster, data, costs)->exposed_input.value(), 0);
  costs.input_seconds = 10;
  const auto step = simulate(program, plan.cluster, data, costs);
  EXPECT_NEAR(step->exposed_input.value(), 40 - step->makespan.value(), 1e-12);
  EXPECT_NEAR(step->step().value(), 40, 1e-12);
  EXPECT_NEAR(step->makespan.value(), 18 + 1.1, 1e-12);
}

TEST_F(TwoLayers, HaveATimelineThatCoversTheStep) {
  costs.collective_seconds = [](const CollectiveCall&, const ClusterSpec&) { return 4.0; };
  costs.input_seconds = 0.5;
  const auto plan =
      plan_for(model, 2, per_layer(SyncMethod::kAllReduce, SyncMethod::kParameterServer));
  const auto program = lowered(model, plan);
  const auto step = run(program, plan.cluster, costs);
  ASSERT_EQ(step.timeline.entries.size(), program.program.tasks.size());
  double end = 0;
  for (const auto& entry : step.timeline.entries) {
    EXPECT_FALSE(entry.name.empty());
    EXPECT_LE(entry.start, entry.end);
    if (entry.resource != Resource::kInput) end = std::max(end, entry.end.value());
  }
  EXPECT_DOUBLE_EQ(end, step.makespan.value());
  const auto silent = simulate(program, plan.cluster, DataChoice{}, costs, {.timeline = false});
  EXPECT_TRUE(silent->timeline.entries.empty());
  EXPECT_EQ(silent->makespan, step.makespan);
}

TEST_F(TwoLayers, NameTheWeakestEvidenceOfEachTerm) {
  costs.collective_seconds = [](const CollectiveCall&, const ClusterSpec&) { return 4.0; };
  costs.evidence = Evidence::kCalibrated;
  const auto plan = plan_for(model, 2, per_layer(SyncMethod::kAllReduce, SyncMethod::kAllReduce));
  const auto step = run(lowered(model, plan), plan.cluster, costs);
  EXPECT_EQ(step.compute_evidence, Evidence::kCalibrated);
  EXPECT_EQ(step.comm_evidence, Evidence::kCalibrated);
  EXPECT_DOUBLE_EQ(step.compute_spread, least_spread(Evidence::kCalibrated));
  EXPECT_LT(step.relative_spread, step.compute_spread);  // independent terms
  EXPECT_GT(step.relative_spread, 0);
}

/// Random plans of small models over random costs: what must hold for all of them.
class SimulatorLaws : public ::testing::Test {
 protected:
  struct Case {
    ModelGraph model;
    Plan plan;
    TableCosts costs;
  };
  Case random_case() {
    const bool conv = random() % 2 == 0;
    Case one{conv ? small_convnet(8, 10) : perceptron({16, 32, 8, 4}), {}, {}};
    const int ranks = static_cast<int>(1 + random() % 5);
    const auto probe = plan_for(one.model, 1, {});
    std::vector<BucketPlan> buckets;
    const auto order = gradient_order(one.model, probe);
    EXPECT_TRUE(order.ok());
    for (const auto& gradient : *order) {
      // Whole layers, so that a weight and its bias agree.
      const auto layer = gradient.name.substr(0, gradient.name.find('.'));
      if (!buckets.empty() && buckets.back().parameters.front().starts_with(layer + ".")) {
        buckets.back().parameters.push_back(gradient.name);
        continue;
      }
      const auto pick = random() % 3;
      const auto method = pick == 0 ? SyncMethod::kAllReduce
                          : pick == 1 || !gradient.sufficient_factors
                              ? SyncMethod::kParameterServer
                              : SyncMethod::kSufficientFactor;
      buckets.push_back({method, {gradient.name}});
    }
    one.plan = plan_for(one.model, ranks, ranks == 1 ? std::vector<BucketPlan>{} : buckets, 4,
                        static_cast<std::int64_t>(1 + random() % 3));
    const auto salt = random();
    one.costs.op_seconds = [salt](const OpSignature& op) {
      return 1e-3 * static_cast<double>((key_of(op).family ^ salt) % 1000);
    };
    one.costs.cpu_share = static_cast<double>(random() % 10) / 10;
    one.costs.collective_seconds = [](const CollectiveCall& call, const ClusterSpec& cluster) {
      return 1e5 * collective_time(call, cluster).total().value();
    };
    return one;
  }
  std::mt19937 random{3};
};

TEST_F(SimulatorLaws, AStepIsNoShorterThanItsCriticalPathAndNoLongerThanAllTasks) {
  for (int round = 0; round < 60; ++round) {
    const auto one = random_case();
    const auto program = lowered(one.model, one.plan);
    const auto step = run(program, one.plan.cluster, one.costs);
    // The critical path over predecessors alone, computed from scratch; updates of servers count as
    // nothing, which is a bound.
    std::vector<double> end(program.program.tasks.size());
    double longest = 0, sum = 0;
    for (const auto& task : program.program.tasks) {
      double start = 0, seconds = 0, most = 0;
      for (const auto id : task.predecessors) start = std::max(start, end[id.index()]);
      if (const auto* op = std::get_if<OpTask>(&task.payload)) {
        const auto& graph = program.training.graph;
        most = one.costs.op_seconds(
            signature_of(graph, graph.op(op->op), program.program.micro_batch));
        seconds = op->shards.empty() ? most : 0;
      } else if (const auto* c = std::get_if<CollectiveTask>(&task.payload)) {
        most = seconds = one.costs.collective_seconds(
            {c->kind, c->bytes, program.program.ranks, c->servers}, one.plan.cluster);
      }
      end[task.id.index()] = start + seconds;
      longest = std::max(longest, start + seconds);
      sum += most;
    }
    EXPECT_GE(step.makespan.value(), longest - 1e-9);
    EXPECT_LE(step.makespan.value(), sum + 1e-9);
    EXPECT_NEAR(step.makespan.value(), (step.compute + step.update + step.exposed_comm).value(),
                1e-9);
  }
}

TEST_F(SimulatorLaws, OneRankHasNoCommunication) {
  for (int round = 0; round < 10; ++round) {
    auto one = random_case();
    one.plan = plan_for(one.model, 1, {}, 4, 2);
    const auto step = run(lowered(one.model, one.plan), one.plan.cluster, one.costs);
    EXPECT_EQ(step.exposed_comm.value(), 0);
    EXPECT_EQ(step.comm_evidence, Evidence::kMeasured);
  }
}

TEST_F(SimulatorLaws, MoreBandwidthIsNeverSlower) {
  for (int round = 0; round < 40; ++round) {
    auto one = random_case();
    const auto program = lowered(one.model, one.plan);
    const auto slow = run(program, one.plan.cluster, one.costs);
    one.plan.cluster.instance.node.network.bandwidth = BytesPerSecond(3e9);
    EXPECT_LE(run(program, one.plan.cluster, one.costs).makespan.value(),
              slow.makespan.value() + 1e-9);
  }
}

TEST_F(SimulatorLaws, AFasterDeviceIsNeverSlower) {
  for (int round = 0; round < 40; ++round) {
    auto one = random_case();
    const auto program = lowered(one.model, one.plan);
    const auto slow = run(program, one.plan.cluster, one.costs);
    const auto before = one.costs.op_seconds;
    one.costs.op_seconds = [before](const OpSignature& op) { return 0.7 * before(op); };
    EXPECT_LE(run(program, one.plan.cluster, one.costs).makespan.value(),
              slow.makespan.value() + 1e-9);
  }
}

TEST_F(SimulatorLaws, TheBusiestServerIsFoundByTryingAll) {
  for (int round = 0; round < 20; ++round) {
    auto one = random_case();
    const int ranks = static_cast<int>(2 + random() % 6);
    const auto order = gradient_order(one.model, plan_for(one.model, 1, {}));
    BucketPlan all{SyncMethod::kParameterServer, {}};
    for (const auto& gradient : *order) all.parameters.push_back(gradient.name);
    const auto plan = plan_for(one.model, ranks, {all});
    const auto program = lowered(one.model, plan);
    const auto step = run(program, plan.cluster, one.costs);
    double most = 0;
    for (std::size_t server = 0; server < static_cast<std::size_t>(ranks); ++server) {
      double load = 0;
      for (const auto& task : program.program.tasks) {
        const auto* op = std::get_if<OpTask>(&task.payload);
        if (op == nullptr || op->shards.empty()) continue;
        const auto range = op->shards[server];
        const auto& graph = program.training.graph;
        const double whole = one.costs.op_seconds(signature_of(graph, graph.op(op->op), 4));
        if (!range.empty())
          load += whole * static_cast<double>(range.end - range.begin) /
                  static_cast<double>(op->shards.elements);
      }
      most = std::max(most, load);
    }
    EXPECT_NEAR(step.update.value(), most, 1e-9);
  }
}

}  // namespace
}  // namespace pluto
