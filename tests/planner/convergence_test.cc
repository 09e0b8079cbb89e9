#include "planner/convergence.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace pluto {
namespace {

ConvergenceSpreads spreads() { return {0.04, 0.06, 0.1, 0.25, 0.35, 0.5, 0.8}; }

SamplesLaw stated(double critical_batch, double exponent = 1) {
  SamplesLaw law{LawKind::kStated, critical_batch, exponent};
  law.spreads = spreads();
  return law;
}

SamplesLaw measured(LawKind kind = LawKind::kPoints) {
  SamplesLaw law{kind, 1000, 1};
  law.points = {{100, 110}, {400, 140}, {1000, 220}};
  law.spreads = spreads();
  return law;
}

SamplesLaw noise(double scale, std::int64_t batch) {
  SamplesLaw law{LawKind::kNoiseScale, scale, 1};
  law.noise_batch = batch;
  law.noise_factor = 2.5;
  law.noise_reach = 32;
  law.spreads = spreads();
  return law;
}

TEST(Convergence, AtTheCriticalBatchTwiceTheLeastSamplesAreNeeded) {
  EXPECT_NEAR(estimate_samples(stated(1000), 1000, 1e-9).ratio, 2, 1e-9);
  EXPECT_NEAR(estimate_samples(stated(1000), 3000, 1000).ratio, 2, 1e-12);
  EXPECT_NEAR(estimate_samples(stated(1000, 2), 2000, 1000).ratio, 2.5, 1e-12);
}

TEST(Convergence, StepsAndSamplesLieOnTheHyperbola) {
  // (S/Smin - 1)(E/Emin - 1) = 1, McCandlish et al. 2018, eq. 2.11
  for (const double batch : {16.0, 256.0, 5000.0}) {
    const double samples = estimate_samples(stated(512), batch, 1e-9).ratio;
    const double steps = samples * 512.0 / batch;  // over Smin = Emin / Bc
    EXPECT_NEAR((steps - 1) * (samples - 1), 1, 1e-6);
  }
}

TEST(Convergence, AtTheReferenceTheTargetIsAsStated) {
  for (const auto& law : {stated(500), measured(), noise(700, 64), SamplesLaw{}}) {
    const auto same = estimate_samples(law, 640, 640);
    EXPECT_EQ(same.ratio, 1);
    EXPECT_EQ(same.low, 1);
    EXPECT_EQ(same.high, 1);
    EXPECT_EQ(same.spread, law.spreads.seed);
    EXPECT_EQ(same.evidence, Evidence::kMeasured);
  }
}

TEST(Convergence, ConstantEpochsAskForAsManySamplesAndLeaveTheBracketOpen) {
  SamplesLaw law;
  law.spreads = spreads();
  const auto far = estimate_samples(law, 6400, 100);
  EXPECT_EQ(far.ratio, 1);
  EXPECT_EQ(far.low, 1);
  EXPECT_NEAR(far.high, 64, 1e-9);
  EXPECT_NEAR(far.spread, std::hypot(0.5, 0.04), 1e-12);
  EXPECT_EQ(critical_batch_at(law, 100), std::nullopt);
}

TEST(Convergence, BetweenMeasuredBatchesItIsLinear) {
  const auto between = estimate_samples(measured(), 250, 100);
  EXPECT_NEAR(between.ratio, 125.0 / 110, 1e-12);
  EXPECT_EQ(between.low, between.ratio);
  EXPECT_EQ(between.high, between.ratio);
  EXPECT_EQ(between.evidence, Evidence::kInterpolated);
  EXPECT_NEAR(between.spread, std::hypot(0.06, 0.04), 1e-12);
  const auto point = estimate_samples(measured(), 1000, 400);
  EXPECT_NEAR(point.ratio, 220.0 / 140, 1e-12);
  EXPECT_EQ(point.evidence, Evidence::kMeasured);
  EXPECT_NEAR(point.spread, 0.04, 1e-12);
}

TEST(Convergence, BeyondMeasuredBatchesTheLawGoesOnFromTheLast) {
  const auto next = estimate_samples(measured(), 2000, 1000);
  EXPECT_NEAR(next.ratio, 3.0 / 2, 1e-12);
  EXPECT_NEAR(next.low, 1, 1e-12);
  EXPECT_NEAR(next.high, 2, 1e-12);
  EXPECT_EQ(next.evidence, Evidence::kCalibrated);
  EXPECT_NEAR(next.spread, std::hypot(0.1, 0.04), 1e-9) << "twice the last batch";
  EXPECT_NEAR(estimate_samples(measured(), 4000, 1000).spread, std::hypot(0.25, 0.04), 1e-9);
  const auto below = estimate_samples(measured(), 50, 100);
  EXPECT_NEAR(below.ratio, 1.05 / 1.1, 1e-12);
  EXPECT_NEAR(below.low, 0.5, 1e-12);
  EXPECT_NEAR(below.high, 1, 1e-12);
  // It meets the points on both sides.
  EXPECT_NEAR(estimate_samples(measured(), 1000.001, 1000).ratio, 1, 1e-5);
  EXPECT_NEAR(estimate_samples(measured(), 99.999, 100).ratio, 1, 1e-5);
}

TEST(Convergence, ANoiseScaleIsCorrectedTheFartherTheBatchIsFromWhereItWasMeasured) {
  const auto law = noise(800, 64);
  EXPECT_NEAR(*critical_batch_at(law, 32), 800, 1e-9);
  EXPECT_NEAR(*critical_batch_at(law, 64), 800, 1e-9);
  EXPECT_NEAR(*critical_batch_at(law, 64 * 32), 2000, 1e-9);
  EXPECT_NEAR(*critical_batch_at(law, 1e9), 2000, 1e-9);
  const double half_way = *critical_batch_at(law, 64 * std::sqrt(32.0));
  EXPECT_NEAR(half_way, 800 * std::sqrt(2.5), 1e-9);
  const auto large = estimate_samples(law, 2048, 64);
  EXPECT_NEAR(large.ratio, (2000.0 + 2048) / (2000 + 64), 1e-12);
  EXPECT_EQ(large.low, 1);
  EXPECT_NEAR(large.high, (800.0 + 2048) / (800 + 64), 1e-12) << "the noise scale as measured";
  EXPECT_EQ(large.evidence, Evidence::kCalibrated);
  EXPECT_NEAR(large.spread, std::hypot(0.35, 0.04), 1e-12);
}

TEST(Convergence, AFamilyIsLessSureThanOwnPointsButNotBelowThem) {
  const auto own = estimate_samples(measured(), 1000, 100);
  const auto family = estimate_samples(measured(LawKind::kFamily), 1000, 100);
  EXPECT_EQ(family.ratio, own.ratio);
  EXPECT_EQ(family.evidence, Evidence::kAssumed);
  // d ln E / d ln Bc is 1/2 at B = Bc and 1/11 at a tenth of it.
  EXPECT_NEAR(family.spread, std::hypot((0.5 - 1.0 / 11) * 0.8, 0.04), 1e-9);
  EXPECT_LE(estimate_samples(measured(LawKind::kFamily), 1e9, 1).spread, std::hypot(0.5, 0.04));
}

TEST(Convergence, AnExponentAboveOneMayLeaveTheBracketWhichThenWidens) {
  const auto estimate = estimate_samples(stated(100, 2), 10'000, 1000);
  EXPECT_GT(estimate.ratio, 10) << "more steps for a larger batch";
  EXPECT_EQ(estimate.high, estimate.ratio);
}

TEST(Convergence, LawsHoldForAnyNumbers) {
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> exponent(0.3, 1), magnitude(0, 6);
  const auto batch_of = [&] { return std::floor(std::pow(10.0, magnitude(random))); };
  for (int i = 0; i < 2000; ++i) {
    const double critical = std::pow(10.0, magnitude(random));
    const auto kind = random() % 3;
    const SamplesLaw law = kind == 0   ? stated(critical, exponent(random))
                           : kind == 1 ? noise(critical, static_cast<std::int64_t>(batch_of()))
                                       : measured();
    const double a = batch_of(), b = batch_of(), reference = batch_of();
    const auto small = estimate_samples(law, std::min(a, b), reference);
    const auto large = estimate_samples(law, std::max(a, b), reference);
    EXPECT_LE(small.ratio, large.ratio * (1 + 1e-9)) << "a larger batch needs no fewer samples";
    if (kind != 2) {
      EXPECT_LE(large.ratio / small.ratio, std::max(a, b) / std::min(a, b) * (1 + 1e-9))
          << "nor more steps";
    }
    for (const auto& one : {small, large}) {
      EXPECT_LE(one.low, one.ratio * (1 + 1e-12));
      EXPECT_GE(one.high, one.ratio * (1 - 1e-12));
      EXPECT_GE(one.spread, 0.04);
      EXPECT_LE(one.spread, 0.72) << "two priors and the seeds";
    }
    const auto back = estimate_samples(law, reference, b);
    EXPECT_NEAR(std::log(estimate_samples(law, b, reference).ratio), -std::log(back.ratio), 1e-9);
  }
}

}  // namespace
}  // namespace pluto
