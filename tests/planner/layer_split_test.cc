#include "planner/layer_split.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "costmodel/collective_time.h"
#include "costmodel/predictor.h"
#include "model/zoo.h"
#include "planner/space.h"
#include "planner/sync_choice.h"
#include "tests/support/planner_cases.h"

namespace pluto {
namespace {

using testing::candidate;
using testing::perceptron;
using testing::TableCosts;

/// Products take no time and links are as given: what is exchanged decides.
class LayerSplit : public ::testing::Test {
 protected:
  LayerSplit() {
    costs.op_seconds = [](const OpSignature&) { return 1e-9; };
    costs.collective_seconds = [](const CollectiveCall& call, const ClusterSpec& cluster) {
      return collective_time(call, cluster).total().value();
    };
    costs.input_seconds = 0;
  }
  Plan plan_of_ranks(const ModelGraph& model, int ranks, std::int64_t share) {
    Placement placement;
    placement.ranks = ranks;
    placement.global_batch = ranks * share;
    Plan plan = plan_of(testing::small_job(ranks * share), model, 10'000,
                        candidate("gpu", ranks, 1, ranks, 1e-6, 1e9), placement, share);
    plan.backend = "cuda";
    return plan;
  }
  std::vector<std::string> split(const ModelGraph& model, const Plan& plan,
                                 bool factors_allowed = false) {
    const auto names = split_layers(model, plan, factors_allowed, costs);
    EXPECT_TRUE(names.ok()) << (names.ok() ? "" : names.error().message);
    return *names;
  }
  Seconds step(const ModelGraph& model, Plan plan, std::vector<std::string> sharded) {
    plan.sharded = std::move(sharded);
    const auto gradients = gradient_order(model, plan);
    EXPECT_TRUE(gradients.ok());
    const std::vector methods(gradients->size(), SyncMethod::kAllReduce);
    const auto predicted =
        predict(model, with_buckets(plan, make_buckets(*gradients, methods, kWhole)), costs);
    EXPECT_TRUE(predicted.ok()) << (predicted.ok() ? "" : predicted.error().message);
    return predicted->prediction.step_time.p50;
  }
  TableCosts costs;
};

// Krizhevsky 2014: 58 of AlexNet's 61 million weights are in three layers, whose activations are
// small: at 32 samples a rank they travel more cheaply than gradients, at 8,192 they do not.
TEST_F(LayerSplit, WeightsStayWhereActivationsAreSmaller) {
  const ModelGraph model = *build_model("alexnet");
  EXPECT_EQ(split(model, plan_of_ranks(model, 8, 32)),
            (std::vector<std::string>{"fc6", "fc7", "fc8"}));
  EXPECT_TRUE(split(model, plan_of_ranks(model, 8, 8192)).empty());
  EXPECT_TRUE(split(model, plan_of_ranks(model, 1, 32)).empty());
}

// Zhang et al. 2017: factors beat gradients at small batches; where they may be sent, a layer stays
// where it is unless splitting beats them too.
TEST_F(LayerSplit, FactorsAreWeighedToo) {
  const ModelGraph model = *build_model("vgg16");
  const Plan plan = plan_of_ranks(model, 2, 1);
  const auto with = split(model, plan, true), without = split(model, plan, false);
  EXPECT_LE(with.size(), without.size());
  EXPECT_FALSE(without.empty());
}

// Among all subsets of the large layers none exchanges less.
TEST_F(LayerSplit, NoSubsetIsFaster) {
  const ModelGraph model = perceptron({512, 2048, 2048, 1024, 2048, 16});
  const auto large = large_layers(model, 4);
  ASSERT_EQ(large.size(), 4U);
  for (const std::int64_t share : {16, 128, 512, 2048}) {
    const Plan plan = plan_of_ranks(model, 4, share);
    Seconds least(1e9);
    for (unsigned mask = 0; mask < 16; ++mask) {
      std::vector<std::string> subset;
      for (std::size_t i = 0; i < 4; ++i) {
        if ((mask >> i & 1U) != 0) subset.push_back(large[i]);
      }
      least = std::min(least, step(model, plan, subset));
    }
    EXPECT_LE(step(model, plan, split(model, plan)).value(), least.value() * 1.02) << share;
  }
}

TEST_F(LayerSplit, SmallAndUnevenLayersAreWhole) {
  const ModelGraph model = perceptron({64, 32, 16});
  EXPECT_TRUE(large_layers(model, 2).empty());
  EXPECT_TRUE(split(model, plan_of_ranks(model, 2, 4)).empty());
  const ModelGraph alexnet = *build_model("alexnet");
  EXPECT_EQ(large_layers(alexnet, 3), std::vector<std::string>{});
  EXPECT_EQ(large_layers(alexnet, 16), (std::vector<std::string>{"fc6", "fc7"}));
}

}  // namespace
}  // namespace pluto
