#include "costmodel/uncertainty.h"

#include <gtest/gtest.h>

#include <cmath>

namespace pluto {
namespace {

TEST(Uncertainty, WeakerEvidenceSpreadsMore) {
  double last = 0;
  for (const auto evidence : {Evidence::kMeasured, Evidence::kInterpolated, Evidence::kCalibrated,
                              Evidence::kDatasheet, Evidence::kAssumed}) {
    EXPECT_GT(least_spread(evidence), last);
    last = least_spread(evidence);
  }
}

TEST(Uncertainty, IndependentPartsAddInQuadrature) {
  const std::vector<TermSpread> parts{{Seconds(3), 0.1}, {Seconds(1), 0.4}};
  EXPECT_DOUBLE_EQ(combined_spread(parts), std::sqrt(0.3 * 0.3 + 0.4 * 0.4) / 4);
  EXPECT_EQ(combined_spread({}), 0);
  const std::vector<TermSpread> one{{Seconds(5), 0.2}, {Seconds(0), 0.9}};
  EXPECT_DOUBLE_EQ(combined_spread(one), 0.2);
}

TEST(Uncertainty, ATallyNamesTheWeakestEvidenceOfFivePercent) {
  EvidenceTally tally;
  EXPECT_EQ(tally.weakest(), Evidence::kMeasured);
  EXPECT_EQ(tally.relative_spread(), 0);
  tally.add(Seconds(96), 0.01, Evidence::kMeasured);
  tally.add(Seconds(4), 0.5, Evidence::kAssumed);
  EXPECT_EQ(tally.weakest(), Evidence::kMeasured);
  tally.add(Seconds(4), 0.3, Evidence::kDatasheet);
  EXPECT_EQ(tally.weakest(), Evidence::kDatasheet);  // 8 of 104 is datasheet or worse
  tally.add(Seconds(3), 0.5, Evidence::kAssumed);
  EXPECT_EQ(tally.weakest(), Evidence::kAssumed);
}

TEST(Uncertainty, ATallyBelievesNoSpreadBelowThatOfItsEvidence) {
  EvidenceTally tally;
  tally.add(Seconds(1), 0.001, Evidence::kMeasured);
  EXPECT_DOUBLE_EQ(tally.relative_spread(), least_spread(Evidence::kMeasured));
  tally.add(Seconds(1), 0.399, Evidence::kMeasured);
  EXPECT_DOUBLE_EQ(tally.relative_spread(), 0.2);
}

TEST(Uncertainty, QuantilesOfALogNormalAreSymmetricInTheLogarithm) {
  const auto interval = lognormal_interval(Seconds(10), 0.2);
  EXPECT_DOUBLE_EQ(interval.p50.value(), 10);
  EXPECT_NEAR(interval.p90.value(), 10 * std::exp(1.2815515655 * 0.2), 1e-6);
  EXPECT_NEAR(interval.p10.value() * interval.p90.value(), 100, 1e-9);
}

TEST(Uncertainty, ProbabilityAgreesWithTheQuantiles) {
  const auto interval = lognormal_interval(Seconds(10), 0.2);
  EXPECT_NEAR(probability_within(10, 0.2, interval.p90.value()), 0.9, 1e-6);
  EXPECT_NEAR(probability_within(10, 0.2, interval.p10.value()), 0.1, 1e-6);
  EXPECT_NEAR(probability_within(10, 0.2, 10), 0.5, 1e-12);
}

TEST(Uncertainty, ProbabilityIsAStepWithoutSpreadAndOneForWhatIsFree) {
  EXPECT_EQ(probability_within(10, 0, 10), 1);
  EXPECT_EQ(probability_within(10, 0, 9.99), 0);
  EXPECT_EQ(probability_within(0, 0.2, 0), 1);
  EXPECT_EQ(probability_within(1, 0.2, 0), 0);
}

}  // namespace
}  // namespace pluto
