#include "planner/probe_value.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "costmodel/uncertainty.h"
#include "tests/support/sample_documents.h"
#include "tests/support/table_costs.h"

namespace pluto {
namespace {

RankedPlan priced(double dollars, double spread, const std::string& device) {
  RankedPlan ranked;
  ranked.plan.cluster = testing::test_cluster(1, 1);
  ranked.plan.cluster.instance.name = "test:" + device;
  ranked.plan.cluster.instance.node.device.name = device;
  ranked.plan.cluster.instance.price = DollarsPerHour(3);
  ranked.prediction.step_time = lognormal_interval(Seconds(1), spread);
  ranked.prediction.time_to_target = lognormal_interval(Seconds(1200 * dollars), spread);
  ranked.prediction.price = lognormal_interval(Dollars(dollars), spread);
  return ranked;
}

TEST(ProbeValueTest, IsTheMeanGainOfDecidingAfterwards) {
  const TrainingJob job;
  const auto a = priced(100, 0.35, "known"), b = priced(110, 0.2, "other");
  const double left = least_spread(Evidence::kMeasured);
  const double of_a = 100 * std::sqrt(0.35 * 0.35 - left * left);
  const double of_b = 110 * std::sqrt(0.2 * 0.2 - left * left);
  std::mt19937_64 random(3);
  std::normal_distribution<double> normal;
  double gain = 0;
  constexpr int kDraws = 400000;
  for (int i = 0; i < kDraws; ++i) {
    const double found_a = 100 + of_a * normal(random), found_b = 110 + of_b * normal(random);
    gain += std::max(0.0, found_a - found_b);
  }
  EXPECT_NEAR(probe_value(job, a, b).value(), gain / kDraws, 0.01 * gain / kDraws);
}

TEST(ProbeValueTest, IsNothingWhereTheDecisionCannotChange) {
  const TrainingJob job;
  const double measured = least_spread(Evidence::kMeasured);
  EXPECT_EQ(probe_value(job, priced(100, measured, "a"), priced(101, measured, "b")), Dollars());
  EXPECT_LT(probe_value(job, priced(100, 0.1, "a"), priced(400, 0.1, "b")).value(), 1e-6);
  // One kind of device: both are off by the same factor.
  EXPECT_LT(probe_value(job, priced(100, 0.3, "a"), priced(101, 0.3, "a")).value(), 0.1);
  EXPECT_GT(probe_value(job, priced(100, 0.3, "a"), priced(101, 0.3, "b")).value(), 10);
}

TEST(ProbeValueTest, TimeIsWorthThePriceOfItsNodes) {
  TrainingJob job;
  const auto a = priced(100, 0.3, "a"), b = priced(101, 0.3, "b");
  const double by_price = probe_value(job, a, b).value();
  job.minimize = Objective::kTime;
  // 1,200 s for each dollar, $3 an hour: a dollar.
  EXPECT_NEAR(probe_value(job, a, b).value(), by_price, 1e-9 * by_price);
}

TEST(ProbeValueTest, AProbeIsOfTheLessSurePlanAndPaysForBothDevices) {
  const TrainingJob job;
  const auto a = priced(100, 0.3, "a"), b = priced(101, 0.35, "b");
  const Probe probe = probe_of(job, a, b, Seconds(600));
  EXPECT_EQ(probe.instance, "test:b") << "the one that is less sure";
  EXPECT_NEAR(probe.price.value(), 2 * 3 / 6.0, 1e-12) << "ten minutes of both";
  EXPECT_EQ(probe.value, probe_value(job, a, b));
  EXPECT_NEAR(probe_of(job, a, a, Seconds(600)).price.value(), 3 / 6.0, 1e-12) << "one device";
}

TEST(ProbeValueTest, ARentedProbeStartsAndIsRounded) {
  Plan plan = priced(1, 0.1, "a").plan;
  plan.cluster.instance.rental = testing::sample_rental();
  plan.cluster.nodes = 7;  // the probe takes one
  EXPECT_NEAR(probe_price(plan, Seconds(360)).value(), 3 * 600 / 3600.0, 1e-12);
  plan.cluster.instance.rental->billing_step = Seconds(3600);
  EXPECT_NEAR(probe_price(plan, Seconds(360)).value(), 3, 1e-12);
}

}  // namespace
}  // namespace pluto
