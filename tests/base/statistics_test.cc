#include "base/statistics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/philox.h"

namespace pluto {
namespace {

TEST(StatisticsTest, QuantilesInterpolateLinearly) {
  const std::vector<double> values = {4, 1, 3, 2};
  EXPECT_DOUBLE_EQ(quantile(values, 0), 1);
  EXPECT_DOUBLE_EQ(quantile(values, 1), 4);
  EXPECT_DOUBLE_EQ(quantile(values, 0.5), 2.5);
  EXPECT_DOUBLE_EQ(quantile(values, 0.25), 1.75);
  EXPECT_DOUBLE_EQ(median(std::vector<double>{9, 1, 5}), 5);
}

TEST(StatisticsTest, OneValueIsEveryQuantile) {
  const std::vector<double> one = {7};
  for (const double q : {0.0, 0.3, 1.0}) EXPECT_EQ(quantile(one, q), 7);
}

TEST(StatisticsTest, QuantilesGrowWithTheirRankAndStayInRange) {
  std::vector<double> values;
  for (std::uint64_t i = 0; i < 101; ++i) values.push_back(philox_normal(5, 0, 0, i));
  double previous = *std::min_element(values.begin(), values.end());
  for (int i = 0; i <= 1000; ++i) {
    const double now = quantile(values, i / 1000.0);
    EXPECT_GE(now, previous);
    previous = now;
  }
  EXPECT_EQ(previous, *std::max_element(values.begin(), values.end()));
}

TEST(StatisticsTest, SummaryIsMedianAndScaledMedianDeviation) {
  const Summary summary = summarize(std::vector<double>{10, 12, 11, 9, 100});
  EXPECT_EQ(summary.median, 11);
  EXPECT_EQ(summary.count, 5U);
  EXPECT_DOUBLE_EQ(summary.relative_spread, 1.4826 * 1 / 11);
}

TEST(StatisticsTest, SpreadEstimatesSigmaOfGaussianNoise) {
  std::vector<double> values;
  for (std::uint64_t i = 0; i < 20'000; ++i) values.push_back(100 + 5 * philox_normal(6, 0, 0, i));
  EXPECT_NEAR(summarize(values).relative_spread, 0.05, 0.002);
}

TEST(StatisticsTest, OneOutlierDoesNotMoveTheSummary) {
  const Summary clean = summarize(std::vector<double>{1, 1, 1, 1, 1});
  const Summary dirty = summarize(std::vector<double>{1, 1, 1, 1, 1e9});
  EXPECT_EQ(clean.median, dirty.median);
  EXPECT_EQ(dirty.relative_spread, 0);
}

TEST(StatisticsTest, ZeroMedianHasNoSpread) {
  EXPECT_EQ(summarize(std::vector<double>{0, 0, 3}).relative_spread, 0);
}

TEST(StatisticsTest, HalfWidthShrinksWithTheRootOfTheCount) {
  EXPECT_DOUBLE_EQ(relative_half_width({1.0, 0.1, 4}), 1.25 * 1.96 * 0.1 / 2);
  EXPECT_DOUBLE_EQ(relative_half_width({1.0, 0.1, 16}), relative_half_width({1.0, 0.1, 4}) / 2);
}

// Source: tables of the normal distribution (Abramowitz and Stegun 26.1).
TEST(StatisticsTest, NormalQuantilesAreThoseOfTheTables) {
  EXPECT_NEAR(normal_quantile(0.5), 0, 1e-12);
  EXPECT_NEAR(normal_quantile(0.9), 1.2815515655446004, 1e-8);
  EXPECT_NEAR(normal_quantile(0.975), 1.959963984540054, 1e-8);
  EXPECT_NEAR(normal_quantile(0.001), -3.090232306167813, 1e-8);
}

TEST(StatisticsTest, NormalQuantileInvertsTheDistribution) {
  for (int i = 1; i < 10'000; ++i) {
    const double p = i / 10'000.0;
    EXPECT_NEAR(normal_cdf(normal_quantile(p)), p, 2e-9);
    EXPECT_NEAR(normal_quantile(p), -normal_quantile(1 - p), 1e-8);
  }
  EXPECT_NEAR(normal_cdf(normal_quantile(1e-12)) / 1e-12, 1, 1e-7);
}

TEST(StatisticsDeathTest, NoValuesAndLawlessRanksAreBugs) {
  EXPECT_DEATH((void)quantile({}, 0.5), "quantile of no values");
  EXPECT_DEATH((void)quantile(std::vector<double>{1}, 1.5), "outside");
  EXPECT_DEATH((void)normal_quantile(1), "outside");
}

}  // namespace
}  // namespace pluto
