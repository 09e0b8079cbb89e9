// Every way to synchronise data ranks trains the same parameters.

#include <gmock/gmock.h>

#include <algorithm>
#include <functional>

#include "tests/executor/plan_equality.h"
#include "tests/support/random_model.h"
#include "tests/support/recompute_models.h"
#include "tests/support/toy_models.h"
#include "tests/support/toy_plan.h"

namespace pluto {
namespace {

using pluto::testing::Equality;
using pluto::testing::kEqualitySteps;
using pluto::testing::NetworkPace;
using pluto::testing::Outcome;
using pluto::testing::plan_with;
using pluto::testing::RandomModel;
using pluto::testing::with_sgd;
using pluto::testing::with_shards;

class PassesEqualityTest : public ::testing::TestWithParam<SyncMethod> {};

TEST_P(PassesEqualityTest, EveryMethodTrainsTheSameParameters) {
  const ModelGraph model = pluto::testing::two_layers();
  for (const std::int64_t accumulation : {1, 3}) {
    const Plan plan = with_sgd(plan_with(model, GetParam(), 3, 2, accumulation), 0);
    const Equality equality(model, plan, 1);
    const Outcome expected = equality.untransformed();
    for (const NetworkPace pace : {NetworkPace::kEager, NetworkPace::kLazy}) {
      expect_equal(equality.lowered(pace), expected, to_text(GetParam()));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Methods, PassesEqualityTest,
                         ::testing::Values(SyncMethod::kAllReduce, SyncMethod::kParameterServer,
                                           SyncMethod::kSufficientFactor),
                         [](const auto& param_info) {
                           std::string name;
                           for (const char c : std::string(to_text(param_info.param))) {
                             if (c != '_') name += c;
                           }
                           return name;
                         });
/// A way to synchronise: changes a plan of three ranks in one bucket.
struct Strategy {
  std::string name;
  SyncMethod method;
  std::function<void(Plan&)> change;
  double rounding = 0;
};

void with_own_servers(Plan& plan) {
  plan.server_nodes = 2;
  plan.cluster.nodes += 2;
  plan.servers = {plan.layout.data, plan.layout.data + 1};
}
void in_chunks(Plan& plan) {
  for (BucketPlan& bucket : plan.buckets) bucket.chunks = 4;
}
void on_wire(Plan& plan, DType wire) {
  for (BucketPlan& bucket : plan.buckets) bucket.wire = wire;
}
std::vector<Strategy> strategies() {
  constexpr double kF16 = 2e-3, kBF16 = 1.6e-2;
  std::vector<Strategy> all;
  for (const SyncMethod method : {SyncMethod::kAllReduce, SyncMethod::kParameterServer,
                                  SyncMethod::kSufficientFactor, SyncMethod::kFactorServer}) {
    const std::string name = to_text(method);
    const bool served =
        method == SyncMethod::kParameterServer || method == SyncMethod::kFactorServer;
    all.push_back({name, method, [](Plan&) {}});
    all.push_back({name + " in chunks", method, in_chunks});
    all.push_back({name + " with priority", method, [](Plan& plan) { plan.priority = true; }});
    all.push_back({name + " f16", method, [](Plan& plan) { on_wire(plan, DType::kF16); }, kF16});
    all.push_back({name + " bf16", method, [](Plan& plan) { on_wire(plan, DType::kBF16); }, kBF16});
    all.push_back({name + " f16 in chunks with priority", method,
                   [](Plan& plan) {
                     on_wire(plan, DType::kF16);
                     in_chunks(plan);
                     plan.priority = true;
                   },
                   kF16});
    if (!served) continue;
    all.push_back({name + " apart", method, with_own_servers});
    all.push_back({name + " apart in chunks", method, [method](Plan& plan) {
                     with_own_servers(plan);
                     in_chunks(plan);
                     plan.priority = method == SyncMethod::kParameterServer;  // refused of factors
                   }});
    all.push_back({name + " apart f16 in chunks", method,
                   [](Plan& plan) {
                     with_own_servers(plan);
                     in_chunks(plan);
                     on_wire(plan, DType::kF16);
                   },
                   kF16});
  }
  for (const int stage : {1, 2, 3}) {
    const std::string name = "shard " + std::to_string(stage);
    all.push_back({name, SyncMethod::kShard, [stage](Plan& plan) { with_shards(plan, stage); }});
    all.push_back({name + " in chunks", SyncMethod::kShard, [stage](Plan& plan) {
                     with_shards(plan, stage);
                     in_chunks(plan);
                     plan.priority = stage == 1;  // refused above
                   }});
  }
  all.push_back({"shard 1 f16", SyncMethod::kShard,
                 [](Plan& plan) {
                   with_shards(plan, 1);
                   on_wire(plan, DType::kF16);
                 },
                 kF16});
  return all;
}

TEST(StrategiesEqualityTest, EveryWayTrainsTheSameParameters) {
  const ModelGraph model = pluto::testing::two_layers();
  for (const Strategy& strategy : strategies()) {
    for (const std::int64_t accumulation : {1, 3}) {
      for (const bool layers : {false, true}) {
        Plan plan = with_sgd(plan_with(model, strategy.method, 3, 2, accumulation), 0);
        plan.fuse = layers;  // relu behind fc1 in its node
        if (layers) {
          const BucketPlan all = plan.buckets.front();
          plan.buckets = {all, all};
          plan.buckets[0].parameters = {all.parameters[0], all.parameters[1]};
          plan.buckets[1].parameters = {all.parameters[2], all.parameters[3]};
        }
        strategy.change(plan);
        if (strategy.method == SyncMethod::kFactorServer && plan.server_nodes > 0 &&
            accumulation > 1) {
          EXPECT_EQ(lower(model, plan).error().code, ErrorCode::kUnsupported) << strategy.name;
          continue;
        }
        const Equality equality(model, plan, 1);
        const Outcome expected = equality.untransformed();
        for (const NetworkPace pace : {NetworkPace::kEager, NetworkPace::kLazy}) {
          expect_equal(equality.lowered(pace), expected, strategy.name, strategy.rounding);
        }
        if (HasFailure()) return;
      }
    }
  }
}

TEST(StrategiesEqualityTest, EveryWayTrainsTheSameWithRecompute) {
  const ModelGraph model = pluto::testing::residual_block();
  for (const Strategy& strategy : strategies()) {
    // Convolutions have no factors.
    if (strategy.method == SyncMethod::kSufficientFactor ||
        strategy.method == SyncMethod::kFactorServer) {
      continue;
    }
    Plan plan = with_sgd(plan_with(model, strategy.method, 3, 2, 1), 0);
    plan.recompute = Recompute::kSelective;
    plan.fuse = true;
    strategy.change(plan);
    const auto lowered = lower(model, plan);
    ASSERT_TRUE(lowered.ok()) << strategy.name << ": " << lowered.error().message;
    const auto ops = lowered->training.graph.ops();
    EXPECT_TRUE(std::any_of(ops.begin(), ops.end(), [](const Op& op) {
      return op.name.ends_with(".recompute");
    })) << strategy.name;
    const Equality equality(model, plan, 1);
    expect_equal(equality.run(*lowered, NetworkPace::kLazy, kEqualitySteps),
                 equality.untransformed(), strategy.name, strategy.rounding);
    if (HasFailure()) return;
  }
}
TEST(StrategiesEqualityTest, ShardsOfRandomModelsTrainTheSameParameters) {
  for (std::uint64_t seed = 0; seed < 24; ++seed) {
    const ModelGraph model = RandomModel::make(seed);
    Plan plan = with_sgd(plan_with(model, SyncMethod::kShard, 2, 2, 1 + seed % 2), seed);
    with_shards(plan, 1 + static_cast<int>(seed % 3));
    const Equality equality(model, plan, seed);
    expect_equal(equality.lowered(seed % 4 < 2 ? NetworkPace::kEager : NetworkPace::kLazy),
                 equality.untransformed(), "seed " + std::to_string(seed));
    if (HasFailure()) break;
  }
}

}  // namespace
}  // namespace pluto
