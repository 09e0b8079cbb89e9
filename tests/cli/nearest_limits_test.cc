#include "cli/nearest_limits.h"

#include <gtest/gtest.h>

#include "costmodel/uncertainty.h"

namespace pluto {
namespace {

RankedPlan plan(double hours, double dollars) {
  RankedPlan one;
  one.plan.cluster.instance.node.device.memory = Bytes(1);
  one.prediction.time_to_target = lognormal_interval(Seconds(3600 * hours), 0.1);
  one.prediction.price = lognormal_interval(Dollars(dollars), 0.1);
  one.prediction.p_both = 0.2;
  return one;
}

class NearestLimits : public ::testing::Test {
 protected:
  NearestLimits() {
    job.budget = Dollars(10);
    job.deadline = Seconds(3600);
    typed.job = "job.yaml";
  }
  TrainingJob job;
  SearchResult result;
  SearchOptions typed;
};

TEST_F(NearestLimits, ABudgetIsRoundedUpAndWhatWasTypedStays) {
  typed.gpus = "4..64";
  typed.deadline = "1h";
  typed.budget = "10";
  typed.settings = {"tensor=8"};
  result.nearest_by_budget = plan(0.5, 1000);
  const auto rows = nearest_rows(job, result, typed);
  ASSERT_EQ(rows.size(), 2U);
  const double p90 = result.nearest_by_budget->prediction.price.p90.value();
  const std::string& command = rows[1].back();
  const auto at = command.find("--budget ");
  ASSERT_NE(at, std::string::npos) << command;
  const double budget = std::stod(command.substr(at + 9));
  EXPECT_GT(budget, p90);
  EXPECT_LT(budget, 1.01 * p90);
  EXPECT_EQ(command.substr(0, at), "pluto-plan search job.yaml --gpus 4..64 ");
  EXPECT_NE(command.find(" --deadline 1h --fix tensor=8"), std::string::npos) << command;
}

TEST_F(NearestLimits, WhereNeitherLimitCanBeMetBothAreChanged) {
  result.ranked = {plan(2, 20)};
  const auto rows = nearest_rows(job, result, typed);
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[1].front(), "by both");
  EXPECT_NE(rows[1].back().find("--budget "), std::string::npos);
  EXPECT_NE(rows[1].back().find("--deadline "), std::string::npos);
}

TEST_F(NearestLimits, WhatFitsNowhereHasNoLimitsThatHelp) {
  result.ranked = {plan(2, 20)};
  result.ranked.front().prediction.process_overhead = Bytes(2);
  EXPECT_EQ(nearest_rows(job, result, typed).size(), 1U);
}

}  // namespace
}  // namespace pluto
