#include "executor/step_series.h"

#include <gtest/gtest.h>

namespace pluto {
namespace {

StepTimes times(double step) { return {step, step / 2, step / 4, step / 8, step / 16}; }

TEST(StepSeriesTest, IsOfTheStepsAfterTheWarmUp) {
  StepSeries series(100);
  for (const double step : {90.0, 80.0, 1.0, 2.0, 3.0, 4.0, 5.0}) series.add(times(step));
  const StepMeasurement measured = series.typical(2);
  EXPECT_EQ(measured.step.median, Seconds(3));
  EXPECT_EQ(measured.step.count, 5);
  EXPECT_EQ(measured.compute, Seconds(1.5));
  EXPECT_EQ(measured.update, Seconds(0.75));
  EXPECT_EQ(measured.exposed_comm, Seconds(0.375));
  EXPECT_EQ(measured.exposed_input, Seconds(0.1875));
  EXPECT_NEAR(measured.step.relative_spread, 1.4826 / 3, 1e-12);
}

TEST(StepSeriesTest, TermsThatTradePlacesStillSumToTheStep) {
  // Half the steps wait for the network, half compute longer; the medians of both terms are small.
  StepSeries series(100);
  for (int i = 0; i < 40; ++i) {
    series.add(i % 2 == 0 ? StepTimes{10, 9, 0, 1, 0} : StepTimes{10, 5, 0, 5, 0});
  }
  series.add({400, 300, 50, 50, 0});  // an outlier moves nothing
  const StepMeasurement measured = series.typical(0);
  EXPECT_EQ(measured.step.median, Seconds(10));
  EXPECT_NEAR((measured.compute + measured.exposed_comm).value(), 10, 1e-9);
  EXPECT_NEAR(measured.compute.value(), 7, 0.3);
  EXPECT_EQ(measured.update, Seconds(0));
}

TEST(StepSeriesTest, SomethingAlwaysRemains) {
  StepSeries series(10);
  EXPECT_EQ(series.typical(2).step.count, 0);
  series.add(times(7));
  EXPECT_EQ(series.typical(2).step.median, Seconds(7));
}

TEST(StepSeriesTest, BeyondItsCapacityItThinsOutEvenly) {
  StepSeries series(16);
  for (int i = 0; i < 1000; ++i) series.add(times(i));
  EXPECT_EQ(series.steps(), 1000);
  const StepMeasurement measured = series.typical(500);
  EXPECT_LE(measured.step.count, 16);
  EXPECT_GE(measured.step.count, 4);
  EXPECT_NEAR(measured.step.median.value(), 750, 70);
  series.clear();
  EXPECT_EQ(series.steps(), 0);
  EXPECT_EQ(series.typical(0).step.count, 0);
}

TEST(StepSeriesTest, WarmUpIsTwoStepsOrATenthButNeverAll) {
  EXPECT_EQ(warm_up_steps(0), 0);
  EXPECT_EQ(warm_up_steps(1), 0);
  EXPECT_EQ(warm_up_steps(2), 1);
  EXPECT_EQ(warm_up_steps(10), 2);
  EXPECT_EQ(warm_up_steps(200), 20);
}

}  // namespace
}  // namespace pluto
