#include "planner/closed_form_plan.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace pluto {
namespace {

ClosedFormJob simple() {
  ClosedFormJob job;
  job.least_samples = 1e6;
  job.critical_batch = 2000;
  job.per_sample = Seconds(0.001);
  job.overhead = [](int) { return Seconds(0.05); };
  job.price = DollarsPerHour(3);
  job.max_devices = 4096;
  return job;
}

TEST(ClosedFormPlan, IsTheFormulaWhereNothingLimitsTheBatch) {
  const auto plan = closed_form_at(simple(), 8);
  ASSERT_TRUE(plan);
  const double a = 0.05, b = 0.001, steps = 1e6 / 2000;
  EXPECT_NEAR(plan->batch, std::sqrt(a * 2000 * 8 / b), 1e-6);
  EXPECT_NEAR(plan->time.value(), steps * std::pow(std::sqrt(a) + std::sqrt(b * 2000 / 8), 2),
              1e-6);
  EXPECT_NEAR(plan->price.value(),
              3.0 / 3600 * steps * std::pow(std::sqrt(a * 8) + std::sqrt(b * 2000), 2), 1e-6);
}

TEST(ClosedFormPlan, FewestDevicesIsTheFormulaRoundedUp) {
  const double a = 0.05, b = 0.001, steps = 1e6 / 2000, deadline = 100;
  const double n = b * 2000 / std::pow(std::sqrt(deadline / steps) - std::sqrt(a), 2);
  const auto plan = fewest_devices(simple(), Seconds(deadline));
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->devices, static_cast<int>(std::ceil(n)));
  EXPECT_LE(plan->time.value(), deadline);
}

TEST(ClosedFormPlan, NoNumberOfDevicesBeatsTheLeastSteps) {
  auto job = simple();
  job.max_devices = 1 << 30;
  const double floor = 0.05 * 1e6 / 2000;  // a Smin
  EXPECT_FALSE(fewest_devices(job, Seconds(floor * 0.999)));
  EXPECT_TRUE(fewest_devices(job, Seconds(floor * 1.01)));
}

TEST(ClosedFormPlan, BatchesStayWithinTheirLimits) {
  auto job = simple();
  job.most_share = 4;
  EXPECT_NEAR(closed_form_at(job, 8)->batch, 32, 1e-9);
  job = simple();
  job.least_share = 500;
  EXPECT_NEAR(closed_form_at(job, 8)->batch, 4000, 1e-9);
  job.max_batch = 3000;
  EXPECT_FALSE(closed_form_at(job, 8)) << "eight shares are above the largest batch";
  EXPECT_NEAR(closed_form_at(job, 6)->batch, 3000, 1e-9);
}

/// The fastest batch on a fine grid.
double brute_time(const ClosedFormJob& job, int devices) {
  const double low = std::max(1e-3, devices * job.least_share);
  const double high = std::min({devices * job.most_share, job.max_batch, 1e7});
  if (low > high) return std::numeric_limits<double>::infinity();
  double best = std::numeric_limits<double>::infinity();
  constexpr int kGrid = 150;
  for (int i = 0; i <= kGrid; ++i) {
    const double batch = low * std::pow(high / low, static_cast<double>(i) / kGrid);
    best = std::min(best, closed_form_time(job, devices, batch).value());
  }
  return best;
}

TEST(ClosedFormPlan, AgreesWithBruteForce) {
  std::mt19937_64 random(3);
  std::uniform_real_distribution<double> unit(0, 1);
  const auto between = [&](double low, double high) {
    return low * std::pow(high / low, unit(random));
  };
  int feasible = 0, infeasible = 0;
  for (int i = 0; i < 600; ++i) {
    ClosedFormJob job;
    job.least_samples = between(1e4, 1e8);
    job.critical_batch = between(10, 1e5);
    job.per_sample = Seconds(between(1e-5, 1e-2));
    const double fixed = between(1e-4, 1), ring = between(1e-5, 1), hop = between(1e-7, 1e-3);
    job.overhead = [=](int n) { return Seconds(fixed + ring * (n - 1) / n + hop * (n - 1)); };
    job.price = DollarsPerHour(1);
    job.step_of_devices = i % 3 == 0 ? 8 : 1;
    job.max_devices = 96;
    if (random() % 2 == 0) job.most_share = between(1, 1000);
    if (random() % 3 == 0) job.least_share = std::min(job.most_share, between(0.5, 100));
    if (random() % 3 == 0) job.max_batch = between(64, 1e5);
    double fastest = std::numeric_limits<double>::infinity();
    for (int n = job.step_of_devices; n <= job.max_devices; n += job.step_of_devices) {
      fastest = std::min(fastest, brute_time(job, n));
      if (const auto plan = closed_form_at(job, n)) {
        const double brute = brute_time(job, n);
        EXPECT_LE(plan->time.value(), brute * (1 + 1e-9));
        EXPECT_GT(plan->time.value(), brute * 0.99);
      }
    }
    const Seconds deadline(std::isfinite(fastest) ? fastest * between(0.5, 20) : 1.0);
    int fewest = 0;
    double cheapest = std::numeric_limits<double>::infinity();
    int cheapest_devices = 0;
    for (int n = job.step_of_devices; n <= job.max_devices; n += job.step_of_devices) {
      const auto plan = closed_form_at(job, n);
      if (!plan || plan->time > deadline) continue;
      if (fewest == 0) fewest = n;
      if (plan->price.value() < cheapest) cheapest = plan->price.value(), cheapest_devices = n;
    }
    const auto found = fewest_devices(job, deadline);
    (found ? feasible : infeasible) += 1;
    EXPECT_EQ(found ? found->devices : 0, fewest);
    EXPECT_EQ(cheapest_devices, fewest) << "the fewest that keep the deadline are the cheapest";
  }
  EXPECT_GT(feasible, 200);
  EXPECT_GT(infeasible, 30);
}

TEST(ClosedFormPlan, MoneyBuysTimeOnAHyperbola) {
  // At a fixed share of a device: (C/Cmin - 1)(T/Tmin - 1) = 1.
  auto job = simple();
  job.least_share = job.most_share = 16;
  const double step = 0.05 + 0.001 * 16;
  const double least_time = 1e6 / 2000 * step, least_price = 3.0 / 3600 * 1e6 / 16 * step;
  for (const int n : {1, 10, 100, 1000}) {
    const auto plan = closed_form_at(job, n);
    EXPECT_NEAR((plan->price.value() / least_price - 1) * (plan->time.value() / least_time - 1), 1,
                1e-9);
  }
}

}  // namespace
}  // namespace pluto
