#include "plan/allocator_replay.h"

#include <gtest/gtest.h>

#include "model/zoo.h"
#include "plan/lowering.h"
#include "tests/support/random_model.h"
#include "tests/support/toy_models.h"
#include "tests/support/toy_plan.h"

namespace pluto {
namespace {

using testing::plan_for;
using testing::RandomModel;
using testing::two_layers;

FrameworkMemory replayed(const LoweredPlan& lowered, const WorkspaceOf& workspace = {}) {
  const auto memory = replay_caching_allocator(lowered.training, lowered.program, workspace);
  EXPECT_TRUE(memory.has_value());
  return memory.value_or(FrameworkMemory{});
}

TEST(AllocatorReplay, CountsEveryTensorOfASmallStep) {
  // All of it is small, each tensor a block of 512 B: x, labels, 4 parameters; at the peak also
  // what the liveliest op of backward needs.
  const ModelGraph model = two_layers();
  const auto lowered = lower(model, plan_for(model));
  ASSERT_TRUE(lowered.ok());
  const auto memory = replayed(*lowered);
  EXPECT_EQ(memory.reserved, Bytes(2 << 20));
  EXPECT_EQ(memory.allocated.value() % 512, 0);
  // At the end of backward: inputs 2, parameters 4, gradients 4, the loss.
  EXPECT_GE(memory.allocated, Bytes(11 * 512));
  EXPECT_LE(memory.allocated, Bytes(20 * 512));
}

TEST(AllocatorReplay, MomentumStaysFromTheFirstUpdateOn) {
  const ModelGraph model = two_layers();
  Plan plain = plan_for(model), momentum = plan_for(model);
  plain.optimizer = SgdAttrs{};
  momentum.optimizer = SgdAttrs{0.9, 0, false};
  const auto without = lower(model, plain), with = lower(model, momentum);
  ASSERT_TRUE(without.ok() && with.ok());
  EXPECT_EQ(replayed(*with).allocated - replayed(*without).allocated, Bytes(4 * 512));
}

TEST(AllocatorReplay, ScratchCountsWhileItsOpRuns) {
  const ModelGraph model = two_layers();
  const auto lowered = lower(model, plan_for(model));
  ASSERT_TRUE(lowered.ok());
  const auto scratch = [](const Op& op) { return Bytes(op.name == "fc1" ? 3 << 20 : 0); };
  EXPECT_GE(replayed(*lowered, scratch).allocated, Bytes(3 << 20));
  EXPECT_EQ(replayed(*lowered, scratch).reserved, Bytes((2 + 20) << 20));
}

TEST(AllocatorReplay, NeedsAtLeastWhatOurPlanNeedsWithoutPadding) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const ModelGraph model = RandomModel::make(seed);
    const auto lowered = lower(model, plan_for(model, 1, 1 + static_cast<std::int64_t>(seed % 3)));
    ASSERT_TRUE(lowered.ok());
    const auto memory = replayed(*lowered);
    const auto plan = plan_memory(lowered->training, lowered->program, {});
    EXPECT_GE(memory.reserved, memory.allocated);
    // Ours holds two sets of inputs; everything else is live in both.
    const Bytes persistent = plan.breakdown.parameters + plan.breakdown.buffers +
                             plan.breakdown.gradients + plan.breakdown.optimizer_state;
    EXPECT_GE(memory.allocated, persistent) << seed;
  }
}

TEST(AllocatorReplay, GrowsWithTheMicroBatch) {
  ZooOptions options;
  const auto model = build_model("alexnet", options);
  ASSERT_TRUE(model.ok());
  Bytes before;
  for (const std::int64_t micro_batch : {1, 8, 64}) {
    const auto lowered = lower(*model, plan_for(*model, 1, micro_batch));
    ASSERT_TRUE(lowered.ok());
    const auto memory = replayed(*lowered);
    EXPECT_GT(memory.reserved, before);
    EXPECT_LT(memory.reserved.value(), memory.allocated.value() * 3 / 2) << micro_batch;
    before = memory.reserved;
  }
}

TEST(AllocatorReplay, WhatDoesNotFitDoesNotStart) {
  const auto model = build_model("alexnet", ZooOptions{});
  ASSERT_TRUE(model.ok());
  const auto lowered = lower(*model, plan_for(*model, 1, 32));
  ASSERT_TRUE(lowered.ok());
  const Bytes needed = replayed(*lowered).reserved;
  const auto at = [&](Bytes capacity) {
    return replay_caching_allocator(lowered->training, lowered->program, {}, capacity);
  };
  EXPECT_TRUE(at(needed).has_value());
  EXPECT_FALSE(at(Bytes(needed.value() / 2)).has_value());
}

}  // namespace
}  // namespace pluto
