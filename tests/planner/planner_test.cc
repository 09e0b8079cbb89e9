#include "planner/planner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "planner/ranking.h"
#include "planner/space.h"
#include "tests/support/planner_cases.h"

namespace pluto {
namespace {

using testing::candidate;
using testing::perceptron;
using testing::random_costs;
using testing::small_convnet;
using testing::small_job;
using testing::TableCosts;

const auto kNever = [] { return false; };

SearchResult searched(const TrainingJob& job, const ModelGraph& model,
                      const std::vector<Candidate>& places, const CostSource& costs) {
  auto result = search(job, model, *job.data.samples, places, costs, {false, kNever});
  EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message);
  return *result;
}

class SearchOutcome : public ::testing::Test {
 protected:
  SearchOutcome() {
    costs.op_seconds = [](const OpSignature& op) { return 1e-6 + op_work(op).flops.value() / 1e9; };
    costs.collective_seconds = [](const CollectiveCall& call, const ClusterSpec& cluster) {
      return collective_time(call, cluster).total().value();
    };
    job.minimize = Objective::kTime;
  }
  ModelGraph model = perceptron({64, 64, 10});
  TableCosts costs;
  TrainingJob job = small_job(64);
  std::vector<Candidate> places{candidate("small", 2, 1), candidate("large", 8, 1.5)};
};

TEST_F(SearchOutcome, AMixHasToGainSomethingOverPlainDataParallelism) {
  // Reading bounds the step, so that no method is faster than another by more than rounding.
  costs.input_seconds = 1;
  const auto hidden = searched(job, model, places, costs);
  ASSERT_FALSE(hidden.ranked.empty());
  EXPECT_EQ(hidden.ranked.front().plan, hidden.baseline->plan);
  // Bytes that cost half the step are worth a mix.
  costs.input_seconds = 0;
  costs.collective_seconds = [](const CollectiveCall& call, const ClusterSpec&) {
    return call.kind == CollectiveKind::kAllReduce ? 1.0 : 0.1;
  };
  job.ranks = 2;
  const auto mixed = searched(job, model, places, costs);
  ASSERT_FALSE(mixed.ranked.empty());
  EXPECT_NE(mixed.ranked.front().plan, mixed.baseline->plan);
}

TEST_F(SearchOutcome, EveryReturnedNumberComesFromPredict) {
  const auto result = searched(job, model, places, costs);
  ASSERT_FALSE(result.ranked.empty());
  for (const auto& one : result.ranked) {
    const auto again = predict(model, one.plan, costs);
    ASSERT_TRUE(again.ok());
    EXPECT_EQ(again->prediction.time_to_target, one.prediction.time_to_target);
    EXPECT_EQ(again->prediction.memory, one.prediction.memory);
    EXPECT_TRUE(validate(one.plan).ok());
    EXPECT_TRUE(one.meets_limits);
  }
  EXPECT_GT(result.evaluated, 0);
}

TEST_F(SearchOutcome, RankedPlansDifferInPlaceRanksOrBatch) {
  const auto result = searched(job, model, places, costs);
  std::set<std::tuple<std::string, int, std::int64_t>> seen;
  for (const auto& one : result.ranked) {
    EXPECT_TRUE(
        seen.emplace(one.plan.cluster.instance.name, one.plan.layout.ranks(), one.plan.global_batch)
            .second);
  }
  EXPECT_EQ(seen.size(), 6u);  // 1 and 2 ranks of the small one, 1, 2, 4, 8 of the large one
  EXPECT_EQ(result.rejections.divisibility, 4);
  for (std::size_t i = 1; i < result.ranked.size(); ++i) {
    EXPECT_FALSE(better(job, result.ranked[i], result.ranked[i - 1]));
  }
}

TEST_F(SearchOutcome, IsNeverSlowerThanTheBaselineOnTheSameHardware) {
  for (const double bandwidth : {1e6, 1e8, 1e10}) {
    places = {candidate("a", 8, 1, 1, 1e-5, bandwidth)};
    const auto result = searched(job, model, places, costs);
    ASSERT_TRUE(result.baseline.has_value());
    const auto& first = result.ranked.front();
    EXPECT_EQ(result.baseline->plan.layout, first.plan.layout);
    EXPECT_EQ(result.baseline->plan.global_batch, first.plan.global_batch);
    EXPECT_LE(first.prediction.step_time.p50.value(),
              result.baseline->prediction.step_time.p50.value() * (1 + 1e-9));
    for (const auto& bucket : result.baseline->plan.buckets)
      EXPECT_EQ(bucket.method, SyncMethod::kAllReduce);
  }
}

TEST_F(SearchOutcome, AFasterNetworkIsNeverSlower) {
  double last = 1e300;
  for (const double bandwidth : {1e6, 1e7, 1e8, 1e9, 1e10}) {
    const auto result = searched(job, model, {candidate("a", 8, 1, 1, 1e-6, bandwidth)}, costs);
    const double seconds = result.ranked.front().prediction.time_to_target.p50.value();
    EXPECT_LE(seconds, last * (1 + 1e-9));
    last = seconds;
  }
}

TEST_F(SearchOutcome, ALargerBudgetNeverTakesLonger) {
  double last = 1e300;
  const auto free_choice = searched(job, model, places, costs);
  const double dollars = free_choice.ranked.front().prediction.price.p50.value();
  for (const double factor : {0.6, 1.0, 1.3, 2.0, 10.0}) {
    job.budget = Dollars(dollars * factor);
    const auto result = searched(job, model, places, costs);
    if (result.termination != Termination::kFeasible) continue;
    const double seconds = result.ranked.front().prediction.time_to_target.p50.value();
    EXPECT_LE(seconds, last * (1 + 1e-9));
    last = seconds;
  }
  EXPECT_LT(last, 1e300);
}

TEST_F(SearchOutcome, AnImpossibleDeadlineIsAResultWithTheNearestMisses) {
  job.deadline = Seconds(1e-6);
  job.budget = Dollars(1000);
  const auto result = searched(job, model, places, costs);
  EXPECT_EQ(result.termination, Termination::kInfeasible);
  ASSERT_FALSE(result.ranked.empty());
  EXPECT_FALSE(result.ranked.front().meets_limits);
  EXPECT_FALSE(result.nearest_by_budget.has_value());  // no money meets it
  ASSERT_TRUE(result.nearest_by_deadline.has_value());
  EXPECT_TRUE(meets_budget(job, result.nearest_by_deadline->prediction));
  EXPECT_GT(result.rejections.deadline, 0);
  // Asking for what the nearest plan offers is feasible.
  job.deadline = result.nearest_by_deadline->prediction.time_to_target.p90 * 1.001;
  EXPECT_EQ(searched(job, model, places, costs).termination, Termination::kFeasible);
}

TEST_F(SearchOutcome, WhatFitsNowhereIsShownWithTheMemoryItNeeds) {
  for (auto& place : places) place.instance.node.device.memory = Bytes(1000);
  const auto result = searched(job, model, places, costs);
  EXPECT_EQ(result.termination, Termination::kInfeasible);
  ASSERT_EQ(result.ranked.size(), 1u);
  EXPECT_GT(result.ranked.front().prediction.memory.total(), Bytes(1000));
  EXPECT_FALSE(result.ranked.front().meets_limits);
  EXPECT_GT(result.rejections.memory, 0);
  EXPECT_FALSE(result.nearest_by_confidence.has_value());
}

TEST_F(SearchOutcome, LittleMemoryForcesSmallMicroBatches) {
  costs.op_seconds = [](const OpSignature& op) { return 1e-3 + op_work(op).flops.value() / 1e9; };
  places = {candidate("a", 1, 1)};
  EXPECT_EQ(searched(job, model, places, costs).ranked.front().plan.accumulation, 1);
  const auto needed = searched(job, model, places, costs).ranked.front().prediction.memory.total();
  places.front().instance.node.device.memory = needed - Bytes(1);
  const auto result = searched(job, model, places, costs);
  ASSERT_EQ(result.termination, Termination::kFeasible);
  EXPECT_GT(result.ranked.front().plan.accumulation, 1);
  EXPECT_LT(result.ranked.front().prediction.memory.total(), needed);
  EXPECT_GT(result.rejections.memory, 0);
}

TEST_F(SearchOutcome, StoppingGivesTheBestSoFar) {
  int calls = 0;
  auto result = search(job, model, 10'000, places, costs, {false, [&] { return ++calls > 60; }});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->termination, Termination::kLimitReached);
  EXPECT_FALSE(result->ranked.empty());
  EXPECT_TRUE(result->baseline.has_value());
  result = search(job, model, 10'000, places, costs, {false, [] { return true; }});
  EXPECT_EQ(result->termination, Termination::kLimitReached);
  EXPECT_TRUE(result->ranked.empty());
}

TEST_F(SearchOutcome, WithoutAStopItRunsToTheEnd) {
  const auto result = search(job, model, 10'000, places, costs, {false, {}});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->termination, Termination::kFeasible);
}

TEST_F(SearchOutcome, IsTheSameEveryTime) {
  const auto first = searched(job, model, places, costs),
             second = searched(job, model, places, costs);
  ASSERT_EQ(first.ranked.size(), second.ranked.size());
  for (std::size_t i = 0; i < first.ranked.size(); ++i)
    EXPECT_EQ(first.ranked[i].plan, second.ranked[i].plan);
  EXPECT_EQ(first.evaluated, second.evaluated);
}

TEST_F(SearchOutcome, AContradictionIsAnError) {
  job.ranks = 7;
  const auto result = search(job, model, 10'000, places, costs, {false, kNever});
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kInvalidInput);
}

TEST_F(SearchOutcome, ALargeCriticalBatchMakesLargeBatchesAndManyRanksWorthwhile) {
  job.global_batch.reset();
  job.max_global_batch = 64;
  job.learning_rate_batch = 8;
  places = {candidate("a", 8, 1, 1, 1e-6, 1e10)};
  job.convergence.critical_batch = 1e9;
  const auto willing = searched(job, model, places, costs).ranked.front().plan;
  job.convergence.critical_batch = 1e-3;
  const auto unwilling = searched(job, model, places, costs).ranked.front().plan;
  EXPECT_GT(willing.global_batch, unwilling.global_batch);
}

}  // namespace
}  // namespace pluto
