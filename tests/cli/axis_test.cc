#include "cli/axis.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace pluto {
namespace {

std::vector<std::string> labels(const Axis& axis) {
  std::vector<std::string> all;
  for (const Tick& tick : axis.ticks) all.push_back(tick.label);
  return all;
}

TEST(AxisTest, TicksOfTimeAreWholeHoursNotTensOfSeconds) {
  const Axis axis = time_axis(Seconds(3600), Seconds(6 * 3600), 6);
  EXPECT_FALSE(axis.logarithmic);
  EXPECT_EQ(labels(axis), (std::vector<std::string>{"1h", "2h", "3h", "4h", "5h", "6h"}));
}

TEST(AxisTest, WideRangesAreLogarithmic) {
  const Axis axis = price_axis(Dollars(1), Dollars(1000), 12);
  EXPECT_TRUE(axis.logarithmic);
  EXPECT_EQ(labels(axis), (std::vector<std::string>{"$1", "$2", "$5", "$10", "$20", "$50", "$100",
                                                    "$200", "$500", "$1000"}));
  EXPECT_NEAR(axis.at(10) - axis.at(1), axis.at(1000) - axis.at(100), 1e-12);
}

TEST(AxisTest, LargePricesAreShort) {
  const Axis axis = price_axis(Dollars(20'000), Dollars(100'000), 5);
  EXPECT_EQ(labels(axis), (std::vector<std::string>{"$20k", "$40k", "$60k", "$80k", "$100k"}));
}

TEST(AxisTest, NothingCostsNothing) {
  const Axis axis = price_axis(Dollars(0), Dollars(0), 5);
  EXPECT_EQ(labels(axis), std::vector<std::string>{"$0"});
  EXPECT_EQ(axis.at(0), 0);
}

// Whatever is drawn lies on the axis, and its ticks ascend within it.
TEST(AxisTest, ValuesAndTicksLieWithin) {
  std::mt19937 random(7);
  std::uniform_real_distribution<double> exponent(-7, 9), spread(0, 5);
  for (int turn = 0; turn < 2000; ++turn) {
    const double least = std::pow(10, exponent(random));
    const double most = least * std::pow(10, turn % 3 == 0 ? 0 : spread(random));
    for (const Axis& axis : {time_axis(Seconds(least), Seconds(most), 6),
                             price_axis(Dollars(least), Dollars(most), 6)}) {
      EXPECT_GE(axis.at(least), 0) << least << " " << most;
      EXPECT_LE(axis.at(most), 1) << least << " " << most;
      EXPECT_LE(axis.ticks.size(), 8U) << least << " " << most;
      for (std::size_t i = 0; i < axis.ticks.size(); ++i) {
        EXPECT_GE(axis.at(axis.ticks[i].value), -1e-9);
        EXPECT_LE(axis.at(axis.ticks[i].value), 1 + 1e-9);
        if (i > 0) {
          EXPECT_GT(axis.ticks[i].value, axis.ticks[i - 1].value);
        }
      }
      if (most > 1.5 * least) {
        EXPECT_GE(axis.ticks.size(), 1U) << least << " " << most;
      }
    }
  }
}

}  // namespace
}  // namespace pluto
