#include "planner/probe_advice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "costmodel/uncertainty.h"
#include "planner/probe_value.h"
#include "tests/support/table_costs.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;

RankedPlan priced(double dollars, double spread, const std::string& device) {
  RankedPlan ranked;
  ranked.plan.cluster = testing::test_cluster(1, 1);
  ranked.plan.cluster.instance.name = "test:" + device;
  ranked.plan.cluster.instance.node.device.name = device;
  ranked.plan.cluster.instance.price = DollarsPerHour(3);
  ranked.prediction.step_time = lognormal_interval(Seconds(1), spread);
  ranked.prediction.time_to_target = lognormal_interval(Seconds(1200 * dollars), spread);
  ranked.prediction.price = lognormal_interval(Dollars(dollars), spread);
  ranked.meets_limits = true;
  return ranked;
}

TEST(ProbeAdviceTest, IsWorthItWhenTheValueExceedsThePrice) {
  const TrainingJob job;
  SearchResult result;
  result.ranked = {priced(100, 0.3, "a"), priced(101, 0.35, "b")};
  const auto advice = probe_advice(job, result);
  ASSERT_TRUE(advice.has_value());
  EXPECT_TRUE(advice->worth);
  EXPECT_EQ(advice->instance, "test:b") << "the one that is less sure";
  EXPECT_EQ(advice->value, probe_value(job, result.ranked[0], result.ranked[1]));
  EXPECT_THAT(probe_sentence(*advice),
              HasSubstr("a probe is worth it: 10m00s of test:b cost $1.00"));

  result.ranked = {priced(1, 0.3, "a"), priced(1.01, 0.3, "b")};
  const auto poor = probe_advice(job, result);
  ASSERT_TRUE(poor.has_value());
  EXPECT_FALSE(poor->worth);
  EXPECT_LT(poor->value, poor->price);
  EXPECT_THAT(probe_sentence(*poor), HasSubstr("a probe is not worth it"));
}

TEST(ProbeAdviceTest, ComparesWithTheRivalThatMattersMost) {
  const TrainingJob job;
  SearchResult result;
  // The second is on the same device: both err together, and nothing is learned.
  result.ranked = {priced(100, 0.3, "a"), priced(101, 0.3, "a"), priced(102, 0.3, "b")};
  EXPECT_THAT(probe_advice(job, result)->against, HasSubstr("test:b"));
  result.ranked[2].meets_limits = false;
  EXPECT_THAT(probe_advice(job, result)->against, HasSubstr("test:a"));
}

TEST(ProbeAdviceTest, NothingIsDecidedWithoutASecondPlan) {
  const TrainingJob job;
  SearchResult result;
  EXPECT_FALSE(probe_advice(job, result).has_value());
  result.ranked = {priced(100, 0.3, "a")};
  EXPECT_FALSE(probe_advice(job, result).has_value());
}

}  // namespace
}  // namespace pluto
