#include "planner/convergence_fit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>

namespace pluto {
namespace {

using ::testing::HasSubstr;

std::vector<BatchPoint> points_of(
    double least, double critical, double exponent, const std::vector<std::int64_t>& batches,
    const std::function<double()>& noise = [] { return 0.0; }) {
  std::vector<BatchPoint> points;
  for (const std::int64_t batch : batches) {
    const double samples = least * (1 + std::pow(static_cast<double>(batch) / critical, exponent));
    points.push_back({batch, samples * std::exp(noise()), 0, 1});
  }
  return points;
}

const std::vector<std::int64_t> kWide = {64, 128, 256, 512, 1024, 2048, 4096};

TEST(ConvergenceFit, FindsTheParametersOfExactPoints) {
  ConvergenceFitOptions options;
  for (const double exponent : {0.5, 1.0, 1.5}) {
    SCOPED_TRACE(exponent);
    options.exponent = exponent;
    const auto fit = fit_convergence(points_of(2e6, 900, exponent, kWide), options);
    ASSERT_TRUE(fit.ok());
    EXPECT_NEAR(fit->critical_batch, 900, 0.1);
    EXPECT_NEAR(fit->least_samples, 2e6, 200);
    EXPECT_LT(fit->rms, 1e-6);
    EXPECT_NEAR(fitted_samples(*fit, 900), 4e6, 400);
  }
}

TEST(ConvergenceFit, FindsTheExponentWhereThePointsAreCloserThanThePrior) {
  ConvergenceFitOptions options;
  options.point_spread = 0.001;
  const auto fit = fit_convergence(points_of(50, 700, 1.5, kWide), options);
  ASSERT_TRUE(fit.ok());
  EXPECT_NEAR(fit->exponent, 1.5, 0.026);
  EXPECT_NEAR(fit->critical_batch, 700, 15);
}

TEST(ConvergenceFit, FewPointsKeepTheExpectedExponent) {
  const auto fit = fit_convergence(points_of(50, 700, 2.0, {256, 1024}), {});
  ASSERT_TRUE(fit.ok());
  EXPECT_NEAR(fit->exponent, 1.1, 1e-9);
}

TEST(ConvergenceFit, PointsFarBelowTheCriticalBatchDoNotBoundIt) {
  const auto near = fit_convergence(points_of(50, 100'000, 1, {8, 16, 32}), {});
  ASSERT_TRUE(near.ok());
  EXPECT_EQ(near->critical_batch_range.high, std::nullopt);
  const auto wide = fit_convergence(points_of(50, 700, 1, kWide), {});
  ASSERT_TRUE(wide.ok());
  ASSERT_TRUE(wide->critical_batch_range.high && wide->critical_batch_range.low);
  EXPECT_LT(*wide->critical_batch_range.low, 700);
  EXPECT_GT(*wide->critical_batch_range.high, 700);
}

TEST(ConvergenceFit, SurePointsNarrowTheInterval) {
  auto points = points_of(50, 700, 1.1, kWide);
  const auto sure = fit_convergence(points, {});
  for (auto& point : points) point.spread = 0.3;
  const auto unsure = fit_convergence(points, {});
  ASSERT_TRUE(sure.ok() && unsure.ok());
  const auto width = [](const FitRange& range) { return std::log(*range.high / *range.low); };
  EXPECT_LT(width(samples_interval(*sure, 8192)), width(samples_interval(*unsure, 8192)));
  EXPECT_LT(width(samples_interval(*sure, 512)), width(samples_interval(*sure, 65536)));
}

TEST(ConvergenceFit, IntervalsHoldTheTruthAboutNineTimesInTen) {
  std::mt19937_64 random(11);
  std::normal_distribution<double> noise(0, 0.04), exponents(1.1, 0.25);
  int held = 0, held_critical = 0;
  constexpr int kRuns = 60;
  for (int run = 0; run < kRuns; ++run) {
    const double p = std::max(0.3, exponents(random));
    const auto points =
        points_of(100, 600, p, {64, 256, 512, 1024, 2048}, [&] { return noise(random); });
    const auto fit = fit_convergence(points, {});
    ASSERT_TRUE(fit.ok());
    const double truth = 100 * (1 + std::pow(4096.0 / 600, p));
    const auto range = samples_interval(*fit, 4096);
    held += *range.low <= truth && truth <= *range.high ? 1 : 0;
    const auto& critical = fit->critical_batch_range;
    held_critical += critical.low.value_or(0) <= 600 && 600 <= critical.high.value_or(1e12) ? 1 : 0;
  }
  // At least 80 % of 60; a normal quantile with three parameters is wider than asked for.
  EXPECT_GE(held, 48);
  EXPECT_GE(held_critical, 48);
}

TEST(ConvergenceFit, ErrorsOfUnseenPointsAreThoseOfRefits) {
  const auto exact = unseen_errors(points_of(50, 700, 1.1, kWide), {});
  EXPECT_EQ(exact.left_out.size(), kWide.size());
  EXPECT_EQ(exact.interpolated.size(), kWide.size() - 2);
  EXPECT_EQ(exact.next.size(), 1U);
  EXPECT_EQ(exact.far.size(), 1U);
  for (const double error : exact.left_out) EXPECT_NEAR(error, 0, 0.01);
  EXPECT_NEAR(exact.far.front(), 0, 0.01);
  auto bent = points_of(50, 700, 1.1, kWide);
  bent.back().samples *= 1.5;
  EXPECT_NEAR(unseen_errors(bent, {}).next.front(), -std::log(1.5), 0.01);
  EXPECT_TRUE(unseen_errors(points_of(50, 700, 1, {64, 128}), {}).next.empty());
}

TEST(ConvergenceFit, OneBatchIsNotEnough) {
  const auto one = fit_convergence(std::vector<BatchPoint>{{64, 100}, {64, 110}}, {});
  ASSERT_FALSE(one.ok());
  EXPECT_EQ(one.error().code, ErrorCode::kInvalidInput);
  EXPECT_THAT(one.error().message, HasSubstr("1 batch size"));
  const auto none = fit_convergence(std::vector<BatchPoint>{{64, 100}, {128, 0}}, {});
  ASSERT_FALSE(none.ok());
  EXPECT_THAT(none.error().message, HasSubstr("batch 128"));
}

}  // namespace
}  // namespace pluto
