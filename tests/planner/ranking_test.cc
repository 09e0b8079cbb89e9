#include "planner/ranking.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "costmodel/uncertainty.h"
#include "tests/support/table_costs.h"

namespace pluto {
namespace {

constexpr double kSigma = 0.1;

RankedPlan ranked(const TrainingJob& job, double seconds, double dollars,
                  const std::string& name = "a") {
  RankedPlan one;
  one.plan.cluster = testing::test_cluster(1, 1);
  one.plan.cluster.instance.name = name;
  one.prediction.time_to_target = lognormal_interval(Seconds(seconds), kSigma);
  one.prediction.price = lognormal_interval(Dollars(dollars), kSigma);
  if (job.deadline)
    one.prediction.p_deadline = probability_within(seconds, kSigma, job.deadline->value());
  if (job.budget)
    one.prediction.p_budget = probability_within(dollars, kSigma, job.budget->value());
  return one;
}

TrainingJob job_with(Objective objective, std::optional<double> deadline = {},
                     std::optional<double> budget = {}) {
  TrainingJob job;
  job.minimize = objective;
  if (deadline) job.deadline = Seconds(*deadline);
  if (budget) job.budget = Dollars(*budget);
  return job;
}

TEST(Ranking, EachObjectiveComparesItsOwnQuantityFirst) {
  for (const auto objective : {Objective::kCost, Objective::kTime}) {
    const auto job = job_with(objective);
    const auto slow_cheap = ranked(job, 100, 1), fast_dear = ranked(job, 10, 5);
    EXPECT_EQ(better(job, slow_cheap, fast_dear), objective == Objective::kCost);
    EXPECT_EQ(better(job, fast_dear, slow_cheap), objective == Objective::kTime);
  }
  const auto job = job_with(Objective::kRisk, 50.0, 10.0);
  EXPECT_TRUE(better(job, ranked(job, 10, 5), ranked(job, 49, 1)));
}

TEST(Ranking, PriceAndTimeHaveQuantilesOfTheirOwn) {
  const auto job = job_with(Objective::kCost, 100.0, 10.0);
  auto one = ranked(job, 50, 5);
  EXPECT_NEAR(price_quantile_factor(job, one.prediction), quantile_factor(job, one.prediction),
              1e-9);
  one.prediction.price = lognormal_interval(Dollars(5), 3 * kSigma);
  EXPECT_NEAR(price_quantile_factor(job, one.prediction),
              std::pow(quantile_factor(job, one.prediction), 3), 1e-9);
  // The budget is what binds: ln(5 / 10) + 3 x 1.28 x 0.1 against ln(50 / 100) + 1.28 x 0.1.
  EXPECT_NEAR(overrun(job, one.prediction), std::log(0.5) + 3 * 1.2815515655 * kSigma, 1e-6);
  one.prediction.p_both = 0.25;
  EXPECT_EQ(probability_of(one.prediction), 0.25) << "not the smaller of the two";
}

TEST(Ranking, EqualPricesAreDecidedByTimeAndEqualTimesByPrice) {
  auto job = job_with(Objective::kCost);
  EXPECT_TRUE(better(job, ranked(job, 10, 1), ranked(job, 11, 1)));
  job.minimize = Objective::kTime;
  EXPECT_TRUE(better(job, ranked(job, 10, 1), ranked(job, 10, 2)));
}

TEST(Ranking, TiesAreBrokenTheSameWayAlways) {
  const auto job = job_with(Objective::kCost);
  auto a = ranked(job, 10, 1, "a"), b = ranked(job, 10, 1, "b");
  EXPECT_TRUE(better(job, a, b));
  EXPECT_FALSE(better(job, b, a));
  EXPECT_FALSE(better(job, a, a));
  b = a;
  b.plan.micro_batch = 8;
  EXPECT_TRUE(better(job, b, a));
}

TEST(Ranking, LimitsAreMetAtTheJobsConfidence) {
  auto job = job_with(Objective::kCost, 100.0, 10.0);
  job.confidence = 0.9;
  const double p90 = std::exp(1.2816 * kSigma);
  EXPECT_TRUE(meets_deadline(job, ranked(job, 99.9 / p90, 1).prediction));
  EXPECT_FALSE(meets_deadline(job, ranked(job, 100.1 / p90, 1).prediction));
  EXPECT_TRUE(meets_budget(job, ranked(job, 1, 9.99 / p90).prediction));
  EXPECT_FALSE(meets_budget(job, ranked(job, 1, 10.01 / p90).prediction));
  EXPECT_NEAR(probability_of(ranked(job, 100, 1).prediction), 0.5, 1e-9);
  EXPECT_EQ(probability_of(ranked(job_with(Objective::kCost), 100, 1).prediction), 1);
}

TEST(Ranking, MemoryCountsTheProcessToo) {
  auto one = ranked(job_with(Objective::kCost), 1, 1);
  one.plan.cluster.instance.node.device.memory = Bytes(1000);
  one.prediction.memory.parameters = Bytes(900);
  EXPECT_TRUE(fits_memory(one.plan, one.prediction));
  one.prediction.process_overhead = Bytes(101);
  EXPECT_FALSE(fits_memory(one.plan, one.prediction));
}

TEST(Ranking, OverrunIsTheLargerOfTheLogarithmsAtTheConfidence) {
  auto job = job_with(Objective::kCost, 100.0, 10.0);
  const auto one = ranked(job, 200, 10);
  EXPECT_NEAR(overrun(job, one.prediction), std::log(2) + 1.2815515655 * kSigma, 1e-6);
  EXPECT_EQ(overrun(job_with(Objective::kCost), one.prediction),
            -std::numeric_limits<double>::infinity());
  EXPECT_LT(overrun(job, ranked(job, 50, 5).prediction), 0);
}

TEST(Ranking, NearestMissesAnswerWhatWouldHaveToGive) {
  const auto job = job_with(Objective::kCost, 100.0, 10.0);
  const std::vector<RankedPlan> plans{
      ranked(job, 50, 30, "fast and dear"), ranked(job, 60, 20, "less dear"),
      ranked(job, 300, 5, "cheap and slow"), ranked(job, 250, 6, "less slow"),
      ranked(job, 120, 11, "in between")};
  const auto nearest = nearest_misses(job, plans);
  EXPECT_EQ(nearest.by_budget->plan.cluster.instance.name, "less dear");
  EXPECT_EQ(nearest.by_deadline->plan.cluster.instance.name, "less slow");
  EXPECT_EQ(nearest.by_confidence->plan.cluster.instance.name, "in between");
}

TEST(Ranking, PlansThatDoNotFitAreNoMisses) {
  const auto job = job_with(Objective::kCost, 100.0, 10.0);
  auto large = ranked(job, 50, 20);
  large.prediction.memory.parameters = Bytes(std::int64_t{1} << 50);
  const auto nearest = nearest_misses(job, {large});
  EXPECT_FALSE(nearest.by_budget || nearest.by_deadline || nearest.by_confidence);
}

}  // namespace
}  // namespace pluto
