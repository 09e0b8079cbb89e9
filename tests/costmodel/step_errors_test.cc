#include "costmodel/step_errors.h"

#include <gtest/gtest.h>

#include <cmath>

namespace pluto {
namespace {

TEST(StepErrors, AreOfPredictedOverMeasured) {
  const std::vector<ScoredStep> steps = {
      {2, 1, 0.1}, {1, 1, 0.1}, {0.5, 1, 0.1}, {1.25, 1, 0.1}, {1, 1, 0.1}};
  const StepErrors errors = summarize_errors(steps);
  ASSERT_EQ(errors.relative.size(), 5U);
  EXPECT_NEAR(errors.relative[0], 1, 1e-12);
  EXPECT_NEAR(errors.relative[2], -0.5, 1e-12);
  EXPECT_NEAR(errors.median, 0.25, 1e-12);
  EXPECT_NEAR(errors.bias, std::pow(1.25, 0.2) - 1, 1e-12);
  EXPECT_NEAR(errors.coverage, 0.4, 1e-12);
}

TEST(StepErrors, AStepIsCoveredUpToItsTenthPercentile) {
  const double edge = std::exp(1.2815 * 0.2);
  EXPECT_EQ(summarize_errors({{{edge, 1, 0.2}}}).coverage, 1);
  EXPECT_EQ(summarize_errors({{{edge * 1.001, 1, 0.2}}}).coverage, 0);
}

TEST(StepErrors, OfNothingAreZero) {
  const StepErrors errors = summarize_errors({});
  EXPECT_TRUE(errors.relative.empty());
  EXPECT_EQ(errors.median + errors.p90 + errors.bias + errors.coverage, 0);
}

}  // namespace
}  // namespace pluto
