#include "planner/greedy_placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "plan/pipeline.h"
#include "planner/cut_choice.h"
#include "tests/support/seeded_properties.h"
#include "tests/support/small_models.h"
#include "tests/support/table_costs.h"
#include "tests/support/toy_plan.h"

namespace pluto {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ChainLayer layer(double seconds, std::int64_t states = 0, std::int64_t kept = 0) {
  return {Seconds(seconds / 3), Seconds(seconds * 2 / 3), Bytes(1), Bytes(states), Bytes(states),
          Bytes(kept)};
}

CutRules rules_of(int stages, std::optional<Bytes> memory = std::nullopt) {
  CutRules rules;
  rules.stages = stages;
  rules.micro_batches = 8;
  rules.bandwidth = BytesPerSecond(1e9);
  rules.memory = memory;
  return rules;
}

std::vector<std::size_t> placed(const std::vector<ChainLayer>& layers, const CutRules& rules) {
  const auto cuts = place_greedily(layers, rules);
  EXPECT_TRUE(cuts.ok() && *cuts);
  return (*cuts)->first;
}

TEST(PlaceGreedily, SharesTheTimeWhereMemoryIsAmple) {
  EXPECT_THAT(placed(std::vector<ChainLayer>(8, layer(1)), rules_of(4)), ElementsAre(2, 4, 6));
  EXPECT_THAT(placed({layer(6), layer(1), layer(1), layer(4)}, rules_of(2)), ElementsAre(1));
}

TEST(PlaceGreedily, GoesOnToTheNextDeviceWhenTheMemoryIsUsedUp) {
  // By time all eight would be shared 4 and 4; the first device has room for three.
  const std::vector<ChainLayer> layers(8, layer(1, 10));
  EXPECT_THAT(placed(layers, rules_of(2, Bytes(50))), ElementsAre(4));
  auto heavy = layers;
  for (int i = 0; i < 4; ++i) heavy[static_cast<std::size_t>(i)].states = Bytes(16);
  EXPECT_THAT(placed(heavy, rules_of(2, Bytes(60))), ElementsAre(3));
}

TEST(PlaceGreedily, KeepsFillingADeviceWhileThoseBehindAreTooSmall) {
  // The time is in the first two layers, the bytes are in the others.
  const std::vector<ChainLayer> layers{layer(10),    layer(10),    layer(0, 10), layer(0, 10),
                                       layer(0, 10), layer(0, 10), layer(0, 10)};
  EXPECT_THAT(placed(layers, rules_of(2)), ElementsAre(1));
  EXPECT_THAT(placed(layers, rules_of(2, Bytes(30))), ElementsAre(4));
}

TEST(PlaceGreedily, CanMissWhatFits) {
  // The first device has its time; that the two large layers need a device each is not seen.
  const std::vector<ChainLayer> layers{layer(10, 1), layer(1, 2), layer(1, 6), layer(1, 6)};
  const CutRules rules = rules_of(3, Bytes(7));
  EXPECT_FALSE(place_greedily(layers, rules)->has_value());
  const auto exact = cut_stages(layers, rules);
  ASSERT_TRUE(exact.ok() && *exact);
  EXPECT_THAT((*exact)->first, ElementsAre(2, 3));
}

RC_GTEST_PROP(PlaceGreedily, IsLawfulAndNeverBeatsTheExactCuts, ()) {
  std::vector<ChainLayer> layers;
  const int count = *rc::gen::inRange(1, 20);
  for (int i = 0; i < count; ++i) {
    layers.push_back(
        layer(*rc::gen::inRange(0, 20), *rc::gen::inRange(0, 6), *rc::gen::inRange(0, 6)));
  }
  CutRules rules = rules_of(*rc::gen::inRange(1, count + 1));
  if (*rc::gen::arbitrary<bool>()) rules.memory = Bytes(*rc::gen::inRange(0, 100));
  const auto greedy = place_greedily(layers, rules);
  const auto exact = cut_stages(layers, rules);
  RC_ASSERT(greedy.ok() && exact.ok());
  if (!greedy->has_value()) return;
  RC_ASSERT(exact->has_value());
  RC_ASSERT((*greedy)->first.size() + 1 == static_cast<std::size_t>(rules.stages));
  RC_ASSERT((*exact)->step(8) <= (*greedy)->step(8) * (1 + 1e-12));
}

TEST(PlaceGreedily, RefusesWhatCannotBeCut) {
  EXPECT_THAT(place_greedily(std::vector<ChainLayer>(2, layer(1)), rules_of(3)).error().message,
              HasSubstr("2 layers for 3 stages"));
}

/// Twelve layers, each slower than the one before.
class GreedyCuts : public ::testing::Test {
 protected:
  GreedyCuts() {
    costs.op_seconds = [](const OpSignature& op) {
      const auto* linear = std::get_if<LinearAttrs>(&op.attrs);
      return linear == nullptr ? 0.0 : 1e-4 * static_cast<double>(linear->out_features);
    };
    plan = testing::plan_for(model, 1, 64, 8);
    plan.layout.pipeline = 3;
    plan.cluster = testing::test_cluster(3, 1, 1e-5, 1e10);
  }
  Result<std::optional<PipelinePlan>> cuts() { return cuts_by(place_greedily, model, plan, costs); }
  Bytes fullest(const PipelinePlan& pipeline) const {
    Plan one = plan;
    one.pipeline = pipeline;
    const auto lowered = lower_pipeline(model, one);
    EXPECT_TRUE(lowered.ok()) << (lowered.ok() ? "" : lowered.error().message);
    Bytes most;
    for (const auto& stage : lowered->stages)
      most = std::max(most, stage_memory(stage, {}).total());
    return most;
  }
  ModelGraph model = testing::perceptron({16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60, 64});
  testing::TableCosts costs;
  Plan plan;
};

TEST_F(GreedyCuts, CanBeLoweredAndFit) {
  const auto free = cuts();
  ASSERT_TRUE(free.ok() && *free);
  EXPECT_EQ((*free)->cuts.size(), 2U);
  const Bytes needed = fullest(**free);
  plan.cluster.instance.node.device.memory = needed - Bytes(1);
  const auto tight = cuts();
  ASSERT_TRUE(tight.ok() && *tight);
  EXPECT_LT(fullest(**tight), needed);
}

TEST_F(GreedyCuts, AreNoneWhereNothingFits) {
  plan.cluster.instance.node.device.memory = Bytes(1000);
  const auto none = cuts();
  ASSERT_TRUE(none.ok());
  EXPECT_FALSE(none->has_value());
}

}  // namespace
}  // namespace pluto
