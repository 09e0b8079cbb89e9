// Every pass keeps what is trained: lowered plans on planned memory against the untransformed graph
// on memory without plan.

#include <gmock/gmock.h>

#include <algorithm>

#include "runtime/communicator.h"
#include "tests/executor/plan_equality.h"
#include "tests/support/random_model.h"
#include "tests/support/recompute_models.h"
#include "tests/support/toy_models.h"
#include "tests/support/toy_plan.h"

namespace pluto {
namespace {

using pluto::testing::Equality;
using pluto::testing::expect_close;
using pluto::testing::NetworkPace;
using pluto::testing::Outcome;
using pluto::testing::plan_with;
using pluto::testing::random_plan;
using pluto::testing::RandomModel;
using pluto::testing::RandomModelOptions;
using pluto::testing::with_sgd;

TEST(PlansEqualityTest, FusionKeepsAResidualBlock) {
  const ModelGraph model = pluto::testing::residual_block();
  Plan plan = with_sgd(plan_with(model, SyncMethod::kAllReduce, 2, 3, 2), 0);
  plan.fuse = true;
  const Equality equality(model, plan, 2);
  expect_equal(equality.lowered(NetworkPace::kLazy), equality.untransformed(), "residual block");
}

TEST(PlansEqualityTest, FusionKeepsEveryFunctionBehindAProduct) {
  const ModelGraph model = pluto::testing::every_epilogue();
  for (const Recompute how : {Recompute::kNone, Recompute::kSelective, Recompute::kFull}) {
    Plan plan = with_sgd(plan_with(model, SyncMethod::kAllReduce, 2, 3, 2), 0);
    plan.recompute = how;
    const LoweredPlan unfused = lower(model, plan).value();
    plan.fuse = true;
    const LoweredPlan lowered = lower(model, plan).value();
    // One node instead of two or three, forward; the sum goes from backward too.
    EXPECT_LE(lowered.training.graph.ops().size() + 8, unfused.training.graph.ops().size());
    const Equality equality(model, plan, 2);
    expect_equal(equality.lowered(NetworkPace::kLazy), equality.untransformed(),
                 std::string("recompute ") + to_text(how));
  }
}

TEST(PlansEqualityTest, FusionKeepsAttentionOfSingleNodes) {
  const ModelGraph model = pluto::testing::small_gpt(2, true, false);
  Plan plan = with_sgd(plan_with(model, SyncMethod::kAllReduce, 2, 2, 1), 0);
  plan.fuse = true;
  const LoweredPlan lowered = lower(model, plan).value();
  EXPECT_EQ(std::count_if(lowered.training.graph.ops().begin(), lowered.training.graph.ops().end(),
                          [](const Op& op) { return op.kind == OpKind::kAttention; }),
            4);  // forward and backward
  const Equality equality(model, plan, 3);
  expect_equal(equality.lowered(NetworkPace::kLazy), equality.untransformed(), "attention");
}

TEST(PlansEqualityTest, RandomModelsUnderRandomPlans) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    const ModelGraph model = RandomModel::make(seed);
    const int ranks = 1 + static_cast<int>(seed % 3);
    const Plan plan = with_sgd(
        random_plan(model, seed, ranks, 2, 1 + static_cast<std::int64_t>(seed / 3 % 2)), seed);
    const Equality equality(model, plan, seed);
    const Outcome expected = equality.untransformed();
    const NetworkPace pace = seed % 4 < 2 ? NetworkPace::kEager : NetworkPace::kLazy;
    expect_equal(equality.lowered(pace), expected, "seed " + std::to_string(seed));
    if (HasFailure()) break;
  }
}

TEST(PlansEqualityTest, ReuseOfMemoryChangesNoBit) {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    const ModelGraph model = RandomModel::make(seed);
    const Plan plan = random_plan(model, seed, 1 + static_cast<int>(seed % 3), 2, 2);
    const Equality equality(model, plan, seed);
    const Outcome reused = equality.lowered(NetworkPace::kEager);
    const Outcome apart = equality.lowered(NetworkPace::kLazy, {false});
    EXPECT_EQ(reused.losses, apart.losses) << seed;
    EXPECT_EQ(reused.tensors, apart.tensors) << seed;
  }
}

TEST(PlansEqualityTest, RanksAndMicroBatchesAreOneLargeBatch) {
  // Without batch statistics, three ranks of two micro-batches of two samples are one batch of
  // twelve.
  RandomModelOptions options;
  options.images = false;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const ModelGraph model = RandomModel::make(seed, options);
    const Plan parallel = with_sgd(random_plan(model, seed, 3, 2, 2), seed);
    const Plan large = with_sgd(pluto::testing::plan_for(model, 1, 12), seed);
    Outcome expected = Equality(model, large, seed).untransformed();
    const Outcome actual = Equality(model, parallel, seed).lowered(NetworkPace::kLazy);
    for (std::size_t step = 0; step < expected.losses.size(); ++step) {
      float mean = 0;
      for (float loss : actual.losses[step]) mean += loss / 6;
      expect_close(mean, expected.losses[step][0], "loss");
    }
    expected.losses = actual.losses;
    expect_equal(actual, expected, "seed " + std::to_string(seed));
    if (HasFailure()) break;
  }
}

TEST(PlansEqualityTest, ShardsAndStagingAreThoseOfTheRuntime) {
  for (const std::int64_t elements : {1, 7, 51, 1000003}) {
    for (const int shards : {1, 2, 3, 8, 4096}) {
      for (int shard = 0; shard < shards; shard += 1 + shards / 7) {
        const ElementRange mine = shard_range(elements, shard, shards);
        const ShardRange theirs = shard_of(elements, shard, shards);
        EXPECT_EQ(mine, (ElementRange{theirs.begin, theirs.end}));
      }
    }
  }
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const ModelGraph model = RandomModel::make(seed);
    const int ranks = 1 + static_cast<int>(seed % 5);
    const Plan plan = random_plan(model, seed, ranks, 2, 1);
    const LoweredPlan lowered = lower(model, plan).value();
    Bytes needed;
    for (const Task& task : lowered.program.tasks) {
      const auto* collective = std::get_if<CollectiveTask>(&task.payload);
      if (collective == nullptr) continue;
      const std::int64_t elements = collective->bytes.value() / 4;
      if (collective->kind == CollectiveKind::kAllReduce) {
        needed = std::max(needed, all_reduce_staging(elements, ranks));
      } else if (collective->kind == CollectiveKind::kReduceScatter) {
        needed = std::max(needed, reduce_scatter_staging(elements, ranks, collective->servers));
      }
    }
    EXPECT_EQ(communication_staging(lowered.program), needed) << seed;
  }
}

}  // namespace
}  // namespace pluto
