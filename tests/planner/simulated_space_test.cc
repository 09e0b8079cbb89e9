#include "planner/simulated_space.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/planner_cases.h"

namespace pluto {
namespace {

using testing::candidate;
using testing::perceptron;
using testing::random_costs;
using testing::small_job;

TEST(SimulatedSpaceTest, NoPlanBeatsTheBoundOfItsCell) {
  const ModelGraph model = perceptron({8, 6, 4});
  const TrainingJob job = small_job(12);
  const std::vector<Candidate> places{candidate("a", 4, 1.0, 2), candidate("b", 3, 2.0)};
  for (std::uint64_t seed = 1; seed < 20; ++seed) {
    const auto costs = random_costs(seed, 1e-4, 10);
    const auto space = SimulatedSpace::make(job, model, 10'000, places, costs);
    ASSERT_TRUE(space.ok());
    for (std::size_t cell = 0; cell < (*space)->cells(); ++cell) {
      const auto bound = (*space)->bound(cell);
      ASSERT_TRUE(bound.ok() && *bound);
      const auto best = (*space)->best(cell, [] { return false; });
      ASSERT_TRUE(best.ok() && *best);
      EXPECT_LE((*bound)->time, (*best)->prediction.time_to_target.p50 * (1 + 1e-9));
      EXPECT_LE((*bound)->price, (*best)->prediction.price.p50 * (1 + 1e-9));
    }
    EXPECT_GT((*space)->evaluated(), 0);
  }
}

TEST(SimulatedSpaceTest, PlainPlansReduceEverythingInOneWay) {
  const ModelGraph model = perceptron({8, 6, 4});
  const TrainingJob job = small_job(12);
  const std::vector<Candidate> places{candidate("a", 4, 1.0, 2)};
  const auto costs = random_costs(3, 1e-4, 10);
  const auto space = SimulatedSpace::make(job, model, 10'000, places, costs);
  ASSERT_TRUE(space.ok());
  ASSERT_TRUE((*space)->bound(3).ok());
  const auto best = (*space)->best(3, [] { return false; });
  const auto plain = (*space)->plain(**best);
  ASSERT_TRUE(plain.ok() && *plain);
  EXPECT_EQ((*plain)->plan.layout, (*best)->plan.layout);
  EXPECT_TRUE(std::ranges::all_of((*plain)->plan.buckets, [](const BucketPlan& bucket) {
    return bucket.method == SyncMethod::kAllReduce;
  }));
}

}  // namespace
}  // namespace pluto
