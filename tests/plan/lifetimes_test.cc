#include "plan/lifetimes.h"

#include <gtest/gtest.h>

#include "plan/lowering.h"
#include "tests/support/graph_checks.h"
#include "tests/support/toy_models.h"
#include "tests/support/toy_plan.h"

namespace pluto {
namespace {

using pluto::testing::plan_for;
using pluto::testing::plan_with;
using pluto::testing::two_layers;

/// Lifetimes by name, in nodes by name.
class Lives {
 public:
  explicit Lives(const Plan& plan) : lowered_(lower(two_layers(), plan).value()) {
    lives_ = activation_lifetimes(lowered_.training, lowered_.program);
  }
  Lifetime of(const std::string& tensor) const {
    return lives_[lowered_.training.graph.find_tensor(tensor)->index()];
  }
  Lifetime between(const std::string& first, const std::string& last) const {
    return {node(first), node(last)};
  }
  std::int64_t node(const std::string& name) const {
    const Op& op = pluto::testing::op_named(lowered_.training.graph, name);
    EXPECT_EQ(op.name, name);
    return static_cast<std::int64_t>(op.id.index());
  }
  std::int64_t last_node() const {
    return static_cast<std::int64_t>(lowered_.training.graph.ops().size()) - 1;
  }

 private:
  LoweredPlan lowered_;
  std::vector<Lifetime> lives_;
};

TEST(LifetimesTest, FromTheProducerToTheLastReader) {
  const Lives lives(plan_for(two_layers()));
  EXPECT_EQ(lives.of("fc1"), lives.between("fc1", "act1"));
  EXPECT_EQ(lives.of("act1"), lives.between("act1", "act1.backward"));
  EXPECT_EQ(lives.of("loss.backward"), lives.between("loss.backward", "fc2.backward_data"));
}

TEST(LifetimesTest, OnlyActivationsHaveOne) {
  const Lives lives(plan_for(two_layers()));
  for (const char* name : {"x", "labels", "fc1.weight", "fc1.weight.grad"}) {
    EXPECT_TRUE(lives.of(name).empty()) << name;
  }
}

TEST(LifetimesTest, TheLossHasItsPlaceForTheWholeStep) {
  const Lives lives(plan_for(two_layers()));
  EXPECT_EQ(lives.of("loss"), (Lifetime{0, lives.last_node()}));
}

TEST(LifetimesTest, TheLogitsOutliveTheForwardPhase) {
  const Lives lives(plan_for(two_layers()));
  EXPECT_EQ(lives.of("fc2").end, lives.node("loss.backward"));
}

TEST(LifetimesTest, MicroBatchesShareTheirPlaces) {
  const Plan plan = plan_with(two_layers(), SyncMethod::kAllReduce, 2, 2, 3);
  const Lives lives(plan);
  EXPECT_EQ(lives.of("act1"), lives.between("act1", "act1.backward"));
  EXPECT_EQ(lives.of("fc1.bias.grad.part"),
            lives.between("fc1.backward_weight", "fc1.bias.accumulate"));
}

TEST(LifetimesTest, WhatTheNetworkReadsLivesUntilItIsWaitedFor) {
  for (std::int64_t accumulation : {1, 3}) {
    const Lives lives(plan_with(two_layers(), SyncMethod::kSufficientFactor, 2, 2, accumulation));
    // The gather of act1 has surely ended when its product starts.
    EXPECT_EQ(lives.of("act1"), lives.between("act1", "fc2.backward_weight"));
  }
}

TEST(LifetimesTest, WhatTheNetworkWritesLivesFromTheLastNodeItWaitsFor) {
  const Lives lives(plan_with(two_layers(), SyncMethod::kSufficientFactor, 2));
  EXPECT_EQ(lives.of("loss.backward.gathered"),
            (Lifetime{lives.node("loss.backward") + 1, lives.node("fc2.backward_weight")}));
  // x is there from the start, but its gather queues behind that of the gradient.
  EXPECT_EQ(lives.of("x.gathered"),
            (Lifetime{lives.node("act1.backward") + 1, lives.node("fc1.backward_weight")}));
}

TEST(LifetimesTest, JoinsAndOverlaps) {
  const Lifetime a{1, 3}, b{3, 5}, c{4, 6};
  EXPECT_TRUE(a.overlaps(b));
  EXPECT_FALSE(a.overlaps(c));
  EXPECT_FALSE(Lifetime{}.overlaps(a));
  EXPECT_EQ(a.joined(c), (Lifetime{1, 6}));
  EXPECT_EQ(Lifetime{}.joined(a), a);
  EXPECT_EQ(a.joined(Lifetime{}), a);
}

}  // namespace
}  // namespace pluto
