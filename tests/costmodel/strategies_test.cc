// What every way to synchronise costs: the simulator on lowered plans.

#include <gmock/gmock.h>

#include "costmodel/collective_time.h"
#include "costmodel/predictor.h"
#include "costmodel/simulator.h"
#include "tests/support/small_models.h"
#include "tests/support/table_costs.h"

namespace pluto {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using testing::perceptron;
using testing::TableCosts;
using testing::test_cluster;

struct Strategy {
  std::string name;
  SyncMethod method;
  std::function<void(Plan&)> change;
};

void own_servers(Plan& plan) {
  plan.server_nodes = 2;
  plan.cluster.nodes = plan.layout.data + 2;
  plan.servers = {plan.layout.data, plan.layout.data + 1};
}
void chunked(Plan& plan) {
  for (auto& bucket : plan.buckets) bucket.chunks = 4;
}
void wired(Plan& plan) {
  for (auto& bucket : plan.buckets) bucket.wire = DType::kF16;
}
void stage(Plan& plan, int shard) {
  plan.shard = shard;
  plan.servers.clear();
}

std::vector<Strategy> strategies() {
  std::vector<Strategy> all;
  for (const auto method : {SyncMethod::kAllReduce, SyncMethod::kParameterServer,
                            SyncMethod::kSufficientFactor, SyncMethod::kFactorServer}) {
    const std::string name = to_text(method);
    all.push_back({name, method, [](Plan&) {}});
    all.push_back({name + " chunks", method, chunked});
    all.push_back({name + " wire", method, wired});
    all.push_back({name + " priority", method, [](Plan& plan) { plan.priority = true; }});
  }
  for (const auto method : {SyncMethod::kParameterServer, SyncMethod::kFactorServer}) {
    all.push_back({std::string(to_text(method)) + " apart", method, own_servers});
    all.push_back({std::string(to_text(method)) + " apart chunks", method, [](Plan& plan) {
                     own_servers(plan);
                     chunked(plan);
                   }});
  }
  for (const int shard : {1, 2, 3}) {
    all.push_back({"shard " + std::to_string(shard), SyncMethod::kShard,
                   [shard](Plan& plan) { stage(plan, shard); }});
  }
  all.push_back({"local", SyncMethod::kAllReduce, [](Plan& plan) { plan.local.steps = 4; }});
  return all;
}

class Strategies : public ::testing::Test {
 protected:
  Strategies() {
    costs.op_seconds = [](const OpSignature& op) {
      const auto work = op_work(op);
      return 1e-6 + work.flops.value() / 1e10 + 1e-9 * double((work.read + work.written).value());
    };
    costs.collective_seconds = [](const CollectiveCall& call, const ClusterSpec& cluster) {
      return collective_time(call, cluster).total().value();
    };
  }

  Plan plan_of(SyncMethod method, int ranks = 4, std::int64_t accumulation = 1) const {
    Plan plan;
    plan.model_fingerprint = model.graph.fingerprint();
    plan.model.source = model.name;
    plan.cluster = test_cluster(ranks, 1, 1e-6, 1e7);
    plan.dataset_samples = 1000;
    plan.data.samples = 1000;
    plan.layout.data = ranks;
    plan.micro_batch = 8;
    plan.accumulation = accumulation;
    plan.global_batch = ranks * 8 * accumulation;
    plan.steps = 100;
    plan.buckets = {
        {method, {"fc2.w", "fc2.b"}}, {method, {"fc1.w", "fc1.b"}}, {method, {"fc0.w", "fc0.b"}}};
    for (int rank = 0; rank < ranks; ++rank) plan.servers.push_back(rank);
    return plan;
  }
  SimulatedStep run(const Plan& plan) const {
    const auto lowered = lower(model, plan);
    EXPECT_TRUE(lowered.ok()) << (lowered.ok() ? "" : lowered.error().message);
    auto step = simulate(*lowered, plan.cluster, DataChoice{}, costs);
    EXPECT_TRUE(step.ok());
    return std::move(step).value();
  }
  double seconds(const Plan& plan) const { return run(plan).makespan.value(); }

  ModelGraph model = perceptron({64, 96, 80, 10});
  TableCosts costs;
};

TEST_F(Strategies, AreAllPricedAndObeyTheLaws) {
  for (const auto& strategy : strategies()) {
    SCOPED_TRACE(strategy.name);
    for (const std::int64_t accumulation : {1, 2}) {
      Plan plan = plan_of(strategy.method, 4, accumulation);
      strategy.change(plan);
      const bool refused = strategy.method == SyncMethod::kFactorServer && plan.server_nodes > 0;
      if (refused && accumulation > 1) continue;
      const auto slow = run(plan);
      EXPECT_GT(slow.exposed_comm.value(), 0);
      EXPECT_NEAR(slow.makespan.value(), (slow.compute + slow.update + slow.exposed_comm).value(),
                  1e-9);
      plan.cluster.instance.node.network.bandwidth = BytesPerSecond(1e9);
      EXPECT_LE(seconds(plan), slow.makespan.value() + 1e-12);
    }
  }
}

TEST_F(Strategies, TheAlgorithmOfTheBucketIsPriced) {
  std::vector<CollectiveAlgorithm> asked;
  costs.collective_seconds = [&](const CollectiveCall& call, const ClusterSpec&) {
    asked.push_back(call.algorithm);
    return 0.0;
  };
  Plan plan = plan_of(SyncMethod::kAllReduce);
  plan.buckets[1].algorithm = CollectiveAlgorithm::kTree;
  run(plan);
  EXPECT_EQ(asked, (std::vector{CollectiveAlgorithm::kRing, CollectiveAlgorithm::kTree,
                                CollectiveAlgorithm::kRing}));
}

TEST_F(Strategies, ServersOfTheirOwnTakeTheUpdateFromTheRanks) {
  Plan plan = plan_of(SyncMethod::kParameterServer);
  const auto colocated = run(plan);
  EXPECT_GT(colocated.update.value(), 0);
  own_servers(plan);
  EXPECT_EQ(run(plan).update.value(), 0);
}

TEST_F(Strategies, PullsRunBelowPushesOnServersOfTheirOwn) {
  // One bucket of 1 s each way in 4 chunks: push 0..1, pull of a chunk behind its push: 1.25 s
  // instead of 2.
  costs.op_seconds = [](const OpSignature&) { return 0.0; };
  Plan plan = plan_of(SyncMethod::kParameterServer);
  plan.buckets = {
      {SyncMethod::kParameterServer, {"fc2.w", "fc2.b", "fc1.w", "fc1.b", "fc0.w", "fc0.b"}}};
  const double bytes = 4.0 * static_cast<double>(parameter_count(model.graph));
  costs.collective_seconds = [&](const CollectiveCall& call, const ClusterSpec&) {
    return static_cast<double>(call.bytes.value()) / bytes;
  };
  own_servers(plan);
  EXPECT_NEAR(seconds(plan), 2, 1e-9);
  chunked(plan);
  EXPECT_NEAR(seconds(plan), 1.25, 1e-2);
  plan.server_nodes = 0;
  plan.servers = {0, 1};
  EXPECT_NEAR(seconds(plan), 2, 1e-9);  // a rank that serves uses both directions all the time
}

TEST_F(Strategies, PackingCostsItsWorkAndSavesHalfTheBytes) {
  Plan plan = plan_of(SyncMethod::kAllReduce);
  const auto whole = run(plan);
  wired(plan);
  const auto half = run(plan);
  EXPECT_GT(half.compute, whole.compute);
  EXPECT_LT(half.makespan, whole.makespan);
  plan.cluster.instance.node.network.bandwidth = BytesPerSecond(1e15);
  Plan fast = plan_of(SyncMethod::kAllReduce);
  fast.cluster = plan.cluster;
  EXPECT_GT(seconds(plan), seconds(fast));  // where the wire is free, packing is all loss
}

TEST_F(Strategies, PriorityIsNotSlowerAndHidesBehindTheNextForward) {
  Plan plan = plan_of(SyncMethod::kAllReduce);
  chunked(plan);
  const auto barrier = run(plan);
  plan.priority = true;
  const auto overlapped = run(plan);
  EXPECT_LT(overlapped.makespan, barrier.makespan);
  EXPECT_EQ(overlapped.compute, barrier.compute);
  EXPECT_GE(overlapped.makespan, overlapped.compute + overlapped.update);
}

TEST_F(Strategies, ShardsMoveWhatTheirPaperSays) {
  // Time of a program that only communicates, in bytes: 2, 2 and 3 Psi, Psi without the biases that
  // backward reads nothing of counting all the same.
  costs.op_seconds = [](const OpSignature&) { return 0.0; };
  costs.collective_seconds = [](const CollectiveCall& call, const ClusterSpec&) {
    return bytes_per_direction(call);
  };
  const double psi = 4.0 * static_cast<double>(parameter_count(model.graph)) * 3 / 4;
  for (const int shard : {1, 2}) {
    Plan plan = plan_of(SyncMethod::kShard);
    stage(plan, shard);
    EXPECT_NEAR(seconds(plan), 2 * psi, 1) << shard;
  }
  Plan plan = plan_of(SyncMethod::kShard);
  stage(plan, 3);
  // Backward does not read the first layer's weights: no data gradient.
  const double first = 4.0 * (96 * 64 + 96) * 3 / 4;
  EXPECT_NEAR(seconds(plan), 3 * psi - first, 1);
}

TEST_F(Strategies, LocalStepsAreTheMeanOverTheirCycle) {
  Plan plan = plan_of(SyncMethod::kAllReduce);
  plan.local.steps = 4;
  const auto mean = run(plan);
  const auto lowered = lower(model, plan);
  ASSERT_TRUE(lowered.ok());
  // With and without the average, by hand.
  LoweredPlan always = *lowered;
  always.program.local.steps = 1;
  const auto averaging = simulate(always, plan.cluster, DataChoice{}, costs);
  const double alone = (averaging->compute + averaging->update).value();
  double average = 0;
  for (const Op& op : lowered->training.graph.ops()) {
    if (op.kind == OpKind::kAverage) {
      average += costs.op_seconds(signature_of(lowered->training.graph, op, plan.micro_batch));
    }
  }
  EXPECT_NEAR(mean.makespan.value(), (3 * (alone - average) + averaging->makespan.value()) / 4,
              1e-9);
  Plan longer = plan;
  longer.local.steps = 16;
  EXPECT_LT(seconds(longer), mean.makespan.value());
}

TEST_F(Strategies, PostLocalRunsAreTheMeanOfTheirTwoPhases) {
  Plan plan = plan_of(SyncMethod::kAllReduce);
  const double synchronous = predict(model, plan, costs)->prediction.step_time.p50.value();
  plan.local.steps = 4;
  const double local = predict(model, plan, costs)->prediction.step_time.p50.value();
  plan.local.synchronous_samples = 25 * plan.global_batch;  // of 100 steps
  const auto mixed = predict(model, plan, costs);
  ASSERT_TRUE(mixed.ok());
  EXPECT_NEAR(mixed->prediction.step_time.p50.value(), 0.25 * synchronous + 0.75 * local, 1e-12);
  EXPECT_NEAR(mixed->prediction.time_to_target.p50.value(), 25 * synchronous + 75 * local, 1e-9);
  EXPECT_THAT(mixed->prediction.assumptions,
              Contains(HasSubstr("25 of 100 steps are synchronous")));
}

TEST_F(Strategies, NodesOfServersArePaidFor) {
  Plan plan = plan_of(SyncMethod::kParameterServer);
  own_servers(plan);
  const auto prediction = predict(model, plan, costs)->prediction;
  EXPECT_NEAR(prediction.price.p50.value(), 6 * prediction.time_to_target.p50.value() / 3600, 1e-9);
}

}  // namespace
}  // namespace pluto
