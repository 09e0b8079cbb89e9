#include "costmodel/run_cost.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "costmodel/checkpoint_time.h"
#include "costmodel/uncertainty.h"
#include "tests/support/sample_documents.h"
#include "tests/support/table_costs.h"

namespace pluto {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

/// Two nodes at $10 an hour, $4 on spot; 3,600 steps of a second.
class RunCost : public ::testing::Test {
 protected:
  RunCost() {
    plan.cluster = testing::test_cluster(2, 1);
    plan.cluster.instance.price = DollarsPerHour(10);
    plan.cluster.instance.spot_price = DollarsPerHour(4);
    plan.steps = 3600;
    plan.global_batch = 100;
    prediction.step_time = lognormal_interval(Seconds(1), 0.1);
    prediction.terms = {{"compute", Seconds(0.9), 0.1, Evidence::kMeasured},
                        {"update", Seconds(0.1), 0.1, Evidence::kMeasured}};
    prediction.memory.parameters = Bytes(4'000'000'000);
    prediction.memory.optimizer_state = Bytes(8'000'000'000);
    prediction.assumptions = {"operator times are guessed"};
  }
  void rent() { plan.cluster.instance.rental = testing::sample_rental(); }
  const Prediction& priced() {
    set_run(plan, prediction);
    return prediction;
  }
  const RunTerm* term(const std::string& name) const {
    const auto found = std::ranges::find(prediction.run_terms, name, &RunTerm::name);
    return found == prediction.run_terms.end() ? nullptr : &*found;
  }
  void expect_sums() const {
    Seconds time;
    Dollars price;
    for (const RunTerm& one : prediction.run_terms) {
      time += one.time;
      price += one.price;
    }
    EXPECT_NEAR(time.value(), prediction.time_to_target.p50.value(), 1e-6);
    EXPECT_NEAR(price.value(), prediction.price.p50.value(), 1e-9);
  }

  Plan plan;
  Prediction prediction;
};

TEST_F(RunCost, AMachineOfOnesOwnOnlyTrains) {
  priced();
  ASSERT_EQ(prediction.run_terms.size(), 1U);
  EXPECT_EQ(prediction.run_terms[0].name, "training");
  EXPECT_NEAR(prediction.time_to_target.p50.value(), 3600, 1e-9);
  EXPECT_NEAR(prediction.price.p50.value(), 20, 1e-9);
  EXPECT_NEAR(sigma_of(prediction), std::hypot(0.1, kRunSpread), 1e-9);
  EXPECT_NEAR(price_sigma_of(prediction), sigma_of(prediction), 1e-9);
  EXPECT_THAT(prediction.assumptions, Contains(HasSubstr("machine is one's own")));
}

TEST_F(RunCost, TheSpreadOfConvergenceCounts) {
  plan.convergence = {0.3, Evidence::kAssumed, "a law"};
  priced();
  EXPECT_NEAR(sigma_of(prediction), std::hypot(0.1, 0.3), 1e-9);
  EXPECT_EQ(term("training")->evidence, Evidence::kAssumed);
}

TEST_F(RunCost, RentedNodesStartAreRoundedAndStoreCheckpoints) {
  rent();
  plan.checkpoint_every = 1000;
  priced();
  expect_sums();
  EXPECT_NEAR(term("start_up")->time.value(), 300, 1e-9);
  EXPECT_NEAR(term("start_up")->price.value(), 20 * 240 / 3600.0, 1e-9) << "not provisioning";
  // four of them, 12 GB at 1 GB/s
  EXPECT_NEAR(term("checkpoint")->time.value(), 4 * 12, 1e-9);
  EXPECT_EQ(term("checkpoint")->evidence, Evidence::kAssumed);
  const double time = prediction.time_to_target.p50.value();
  EXPECT_NEAR(time, 3600 + 300 + 48, 1e-9);
  EXPECT_NEAR(term("storage")->price.value(), 12 * 0.023 * time / (30 * 24 * 3600), 1e-12);
  plan.cluster.instance.rental->billing_step = Seconds(3600);
  priced();
  EXPECT_NEAR(prediction.price.p50.value() - term("storage")->price.value(), 2 * 20, 1e-9);
  EXPECT_NEAR(term("billing")->price.value(), 20 * (2 - (time - 60) / 3600), 1e-9);
  plan.cluster.instance.rental->billing_minimum = Seconds(3 * 3600);
  EXPECT_NEAR(priced().price.p10.value(), 3 * 20, 0.1);
}

TEST_F(RunCost, EvaluationIsForwardOverItsSamples) {
  plan.evaluation = {1000, 0};
  priced();
  // ten batches, a third of the compute
  EXPECT_NEAR(term("evaluation")->time.value(), 10 * 0.9 / 3, 1e-9);
  plan.evaluation.every = 100;
  priced();
  EXPECT_NEAR(term("evaluation")->time.value(), 36 * 10 * 0.9 / 3, 1e-9);
  expect_sums();
}

TEST_F(RunCost, StartUpThatIsUnsureMattersToShortRuns) {
  rent();
  plan.steps = 10;
  EXPECT_GT(sigma_of(priced()), 0.3);
  plan.steps = 360000;
  EXPECT_NEAR(sigma_of(priced()), std::hypot(0.1, kRunSpread), 1e-3);
}

TEST_F(RunCost, TheBudgetIsTheLongestTimeItPays) {
  rent();
  plan.cluster.instance.rental->storage_usd_per_gb_month = 5;
  plan.cluster.instance.rental->billing_step = Seconds(60);
  plan.deadline = Seconds(4000);
  priced();
  const double sigma = sigma_of(prediction), median = prediction.time_to_target.p50.value();
  for (const double time : {3500.0, 3910.0, 5000.0}) {
    // What the bill is after that time, and a cent less.
    const double billed = std::ceil((time - 60) / 60) * 60;
    const double price = 20 * billed / 3600 + 12 * 5 * time / (30 * 24 * 3600.0);
    plan.budget = Dollars(price);
    EXPECT_GE(*priced().p_budget, probability_within(median, sigma, time) - 1e-9);
    EXPECT_LE(*prediction.p_budget, probability_within(median, sigma, time + 120) + 1e-9);
    EXPECT_EQ(*prediction.p_both, std::min(*prediction.p_budget, *prediction.p_deadline));
  }
  plan.budget = Dollars(0.01);
  EXPECT_EQ(*priced().p_budget, 0) << "not even the minimum";
}

TEST_F(RunCost, SpotNodesAreCheaperAndLessSure) {
  rent();
  const Prediction stays = priced();
  plan.cluster.market = Market::kSpot;
  plan.checkpoint_every = *spot_checkpoint_steps(plan, prediction);
  priced();
  expect_sums();
  EXPECT_GT(prediction.time_to_target.p50, stays.time_to_target.p50);
  EXPECT_LT(prediction.price.p50, stays.price.p50);
  EXPECT_GT(sigma_of(prediction), sigma_of(stays));
  EXPECT_GE(term("interruptions")->time, Seconds());
  EXPECT_EQ(term("interruptions")->evidence, Evidence::kCalibrated);
  EXPECT_THAT(prediction.assumptions, Contains(HasSubstr("on spot cost $8")));
  EXPECT_THAT(prediction.assumptions, Contains(HasSubstr("taken back every 1h30m")));
}

TEST_F(RunCost, TheIntervalIsYoungsOfAllNodes) {
  rent();
  plan.cluster.market = Market::kSpot;
  const auto run = spot_run_of(plan, prediction);
  ASSERT_TRUE(run.has_value());
  EXPECT_NEAR(run->between.value(), 5400 / 2, 1e-9) << "either of two";
  const Seconds writing = *checkpoint_time(plan, prediction.memory);
  EXPECT_EQ(spot_checkpoint_steps(plan, prediction),
            std::llround(std::sqrt(2 * writing.value() * 2700)));
  plan.steps = 3;
  EXPECT_EQ(spot_checkpoint_steps(plan, prediction), 3) << "no more than there are";
  plan.cluster.market = Market::kOnDemand;
  EXPECT_EQ(spot_checkpoint_steps(plan, prediction), std::nullopt);
  EXPECT_EQ(spot_run_of(plan, prediction), std::nullopt);
}

TEST_F(RunCost, TheMoveToOnDemandMeetsDeadlinesThatSpotMisses) {
  rent();
  plan.cluster.market = Market::kSpot;
  plan.checkpoint_every = 120;
  plan.deadline = Seconds(6000);
  plan.budget = Dollars(1000);
  const Prediction alone = priced();
  plan.on_demand_after = 0.3;
  priced();
  expect_sums();
  EXPECT_GT(*prediction.p_deadline, *alone.p_deadline + 0.1);
  EXPECT_GT(prediction.price.p50, alone.price.p50);
  EXPECT_LT(prediction.time_to_target.p90, alone.time_to_target.p90);
  EXPECT_THAT(prediction.assumptions, Contains(HasSubstr("not done after 30m00s moves")));
}

TEST_F(RunCost, BothLimitsAreCountedTogetherOnSpot) {
  rent();
  plan.cluster.market = Market::kSpot;
  plan.checkpoint_every = 120;
  plan.deadline = priced().time_to_target.p50;
  plan.budget = prediction.price.p50;
  priced();
  EXPECT_NEAR(*prediction.p_deadline, 0.5, 0.01);
  EXPECT_NEAR(*prediction.p_budget, 0.5, 0.01);
  EXPECT_LT(*prediction.p_both, std::min(*prediction.p_deadline, *prediction.p_budget));
  EXPECT_GT(*prediction.p_both, 0.25) << "price follows time";
}

TEST_F(RunCost, PricingAgainLeavesNoTraceOfTheFirst) {
  rent();
  const Prediction once = priced();
  plan.cluster.market = Market::kSpot;
  plan.deadline = Seconds(5000);
  priced();
  plan.cluster.market = Market::kOnDemand;
  plan.deadline.reset();
  EXPECT_EQ(to_json(to_value(priced())), to_json(to_value(once)));
  EXPECT_THAT(prediction.assumptions, Contains("operator times are guessed"));
  EXPECT_THAT(prediction.assumptions, Not(Contains(HasSubstr("spot"))));
}

TEST_F(RunCost, SpotWithoutKnownInterruptionsSaysSo) {
  plan.cluster.market = Market::kSpot;
  priced();
  EXPECT_NEAR(prediction.price.p50.value(), 8, 1e-9);
  EXPECT_THAT(prediction.assumptions, Contains(HasSubstr("interruptions are not known")));
}

}  // namespace
}  // namespace pluto
