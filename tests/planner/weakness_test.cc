#include "planner/weakness.h"

#include <gtest/gtest.h>

namespace pluto {
namespace {

TEST(WeaknessTest, TheTermWhoseDoubtMovesTheStepMost) {
  Plan plan;
  Prediction prediction;
  prediction.step_time.p50 = Seconds(10);
  prediction.terms = {{"compute", Seconds(8), 0.05, Evidence::kMeasured},
                      {"exposed_comm", Seconds(2), 0.5, Evidence::kDatasheet}};
  EXPECT_EQ(weakest_assumption(plan, prediction),
            "exposed_comm, datasheet (spread 50 %), 20 % of the step");
  plan.steps = 703;
  plan.convergence = {0.3, Evidence::kInterpolated, "noise scale at batch 256"};
  EXPECT_EQ(weakest_assumption(plan, prediction),
            "703 steps to the target, interpolated by noise scale at batch 256 (spread 30 %)");
}

TEST(WeaknessTest, NothingIsSaidOfWhatHasNoSpread) {
  Prediction prediction;
  prediction.step_time.p50 = Seconds(1);
  EXPECT_EQ(weakest_assumption({}, prediction), "");
  prediction.terms = {{"compute", Seconds(1), 0, Evidence::kMeasured}};
  EXPECT_EQ(weakest_assumption({}, prediction), "");
}

}  // namespace
}  // namespace pluto
