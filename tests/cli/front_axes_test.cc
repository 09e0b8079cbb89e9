#include "cli/front_axes.h"

#include <gtest/gtest.h>

namespace pluto {
namespace {

TEST(FrontAxesTest, ANearLimitWidensTheAxesAndAFarOneIsNamed) {
  FrontChart chart;
  chart.points = {{Seconds(100), Dollars(10), "a"}, {Seconds(200), Dollars(5), "b"}};
  chart.deadline = Seconds(600);
  chart.budget = Dollars(1000);
  const FrontAxes axes = front_axes(chart, 6, 6);
  EXPECT_EQ(axes.deadline, chart.deadline);
  EXPECT_LE(axes.time.at(600), 1);
  EXPECT_EQ(axes.budget, std::nullopt);
  EXPECT_LT(axes.price.high, 20);
  EXPECT_EQ(limits_outside(chart, axes),
            std::vector<std::string>{"budget $1000.00 lies above the picture"});
}

}  // namespace
}  // namespace pluto
