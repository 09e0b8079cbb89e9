#include "plan/held_bytes.h"

#include <gtest/gtest.h>

#include "model/zoo.h"
#include "plan/memory_plan.h"
#include "tests/plan/lowered_plans.h"
#include "tests/support/toy_models.h"
#include "tests/support/toy_plan.h"

namespace pluto {
namespace {

using pluto::testing::lowered;
using pluto::testing::plan_with;
using pluto::testing::two_layers;

/// What a rank keeps from step to step.
Bytes model_state(const LoweredPlan& plan) {
  const auto sizes = plan_memory(plan.training, plan.program, {}).breakdown;
  return sizes.parameters + sizes.gradients + sizes.optimizer_state;
}

Plan sharded_plan(const ModelGraph& model, int stage, int ranks) {
  Plan plan = plan_with(model, SyncMethod::kShard, ranks);
  plan.optimizer = AdamAttrs{};
  plan.shard = stage;
  plan.servers.clear();
  return plan;
}

/// Rajbhandari et al. 2020, figure 1: Psi = 1.5 billion, 64 ranks. There b = 2 and K = 12 (mixed
/// precision), which is 24 GB in all; here all is f32: b = 4, K = 8, 24 GB as well.
TEST(HeldBytesTest, Gpt2WithOneAndAHalfBillionParametersAsThePaperCounts) {
  const ModelGraph model = build_model("gpt2-xl").value();
  constexpr int kRanks = 64;
  const double psi = static_cast<double>(parameter_count(model.graph)), b = 4, k = 8;
  EXPECT_NEAR(psi, 1.5e9, 0.08e9);
  const double expected[] = {(2 * b + k) * psi, (2 * b + k / kRanks) * psi,
                             (b + (b + k) / kRanks) * psi, (2 * b + k) / kRanks * psi};
  for (int stage = 0; stage <= 3; ++stage) {
    Plan plan = stage == 0 ? plan_with(model, SyncMethod::kAllReduce, kRanks)
                           : sharded_plan(model, stage, kRanks);
    plan.optimizer = AdamAttrs{};
    const double held = static_cast<double>(model_state(lowered(model, plan)).value());
    EXPECT_NEAR(held, expected[stage], 1e-3 * expected[stage]) << "stage " << stage;
  }
}

TEST(HeldBytesTest, AShardStandsAtTheFirstTensorOfItsBucket) {
  const LoweredPlan plan = lowered(two_layers(), sharded_plan(two_layers(), 3, 4));
  const auto held = held_bytes(plan.training, plan.program);
  const auto of = [&](const char* name) {
    return held[plan.training.graph.find_tensor(name)->index()];
  };
  EXPECT_EQ(of("fc2.weight"), Bytes(4 * 13));  // 51 elements on 4 ranks
  EXPECT_EQ(of("fc1.weight"), Bytes(0));
  EXPECT_EQ(of("fc2.weight.adam_m"), Bytes(4 * 13));
  EXPECT_EQ(of("fc2.weight.grad.shard"), Bytes(4 * 13));
}

// Megatron-LM's distributed optimizer: of what a tensor rank has, its data ranks keep a shard each.
TEST(HeldBytesTest, TensorRanksShardWhatTheyHave) {
  ZooOptions options;
  options.layers = 2;
  options.heads = 4;
  options.width_model = 64;
  options.vocabulary = 128;
  options.sequence = 4;
  const ModelGraph model = build_model("gpt2", options).value();
  const auto state = [&](int tensor, int shard) {
    Plan plan =
        shard > 0 ? sharded_plan(model, shard, 4) : plan_with(model, SyncMethod::kAllReduce, 4);
    plan.optimizer = AdamAttrs{};
    plan.cluster.nodes *= tensor;
    plan.layout.tensor = tensor;
    const LoweredPlan low = lowered(model, plan);
    const auto sizes = plan_memory(low.training, low.program, {}).breakdown;
    return static_cast<double>(sizes.optimizer_state.value());
  };
  EXPECT_NEAR(state(1, 1) / state(1, 0), 0.25, 1e-2);
  EXPECT_NEAR(state(2, 1) / state(2, 0), 0.25, 1e-2);
  // Weights and vocabulary halve; norms and the biases of row layers do not.
  EXPECT_NEAR(state(2, 1) / state(1, 1), 0.5, 0.03);
}

TEST(HeldBytesTest, GradientsOnTheirWayCountAsActivations) {
  Bytes before;
  for (const int stage : {1, 2}) {
    const LoweredPlan plan = lowered(two_layers(), sharded_plan(two_layers(), stage, 4));
    const auto sizes = plan_memory(plan.training, plan.program, {}).breakdown;
    if (stage == 2) {
      EXPECT_GE(sizes.activations, Bytes(4 * 51));
      EXPECT_GT(sizes.activations, before);
    }
    before = sizes.activations;
  }
}

TEST(HeldBytesTest, ServersOfTheirOwnKeepTheOptimizerState) {
  Plan plan = plan_with(two_layers(), SyncMethod::kParameterServer, 2);
  plan.optimizer = AdamAttrs{};
  const auto colocated = lowered(two_layers(), plan);
  EXPECT_EQ(plan_memory(colocated.training, colocated.program, {}).breakdown.optimizer_state,
            Bytes(512));  // 2 x 51 floats, each block a multiple of 64 bytes
  plan.server_nodes = 1;
  plan.cluster.nodes = 3;
  plan.servers = {2};
  const auto apart = lowered(two_layers(), plan);
  EXPECT_EQ(plan_memory(apart.training, apart.program, {}).breakdown.optimizer_state, Bytes(0));
}

}  // namespace
}  // namespace pluto
