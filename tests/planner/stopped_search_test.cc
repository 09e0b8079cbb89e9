// What a stopped search says of the best plan it has not seen.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "planner/planner.h"
#include "tests/support/planner_cases.h"

namespace pluto {
namespace {

using testing::candidate;
using testing::perceptron;
using testing::random_costs;
using testing::small_job;
using testing::TableCosts;

/// Three places with up to four ranks and four batches: some thirty cells, of some twenty plans.
class StoppedSearch : public ::testing::TestWithParam<int> {
 protected:
  StoppedSearch() : costs(random_costs(static_cast<std::uint64_t>(GetParam()), 1e-4, 30)) {
    job.global_batch.reset();
    job.max_global_batch = 8;
    job.convergence.critical_batch = 20;
    job.minimize = GetParam() % 2 == 0 ? Objective::kCost : Objective::kTime;
    for (Candidate& place : places) place.backend = GetParam() % 3 == 0 ? "cuda" : "cpu";
  }

  /// Stopped when it has asked so often; negative: never. Adds up how often it asked.
  SearchResult searched(int asks) {
    asked = 0;
    const auto result = search(job, model, *job.data.samples, places, costs,
                               {false, [&] { return asked++ >= asks && asks >= 0; }});
    EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message);
    return *result;
  }
  double value_of(const SearchResult& result) const {
    const Prediction& first = result.ranked.front().prediction;
    return job.minimize == Objective::kCost ? first.price.p50.value()
                                            : first.time_to_target.p50.value();
  }

  ModelGraph model = perceptron({8, 6, 4});
  TrainingJob job = small_job(4);
  std::vector<Candidate> places{candidate("a", 4, 1.0, 2), candidate("b", 4, 1.5, 4, 1e-5, 1e8),
                                candidate("c", 4, 0.7, 1, 1e-6, 1e7)};
  TableCosts costs;
  int asked = 0;
};

// What is left out costs nothing more than the gap says; beside it, the search promises
// kNegligibleGain.
TEST_P(StoppedSearch, TheBestPlanIsWithinThePrintedGap) {
  for (const bool limited : {false, true}) {
    if (limited) job.deadline = searched(-1).ranked.front().prediction.time_to_target.p90 * 1.5;
    const SearchResult whole = searched(-1);
    const int all = asked;
    ASSERT_EQ(whole.termination, Termination::kFeasible);
    EXPECT_EQ(whole.gap, 0);
    ASSERT_GT(all, 100);
    const double best = value_of(whole);
    int stopped = 0;
    double last = 1;
    for (int asks = 0; asks < all; asks += 1 + all / 8) {
      const SearchResult result = searched(asks);
      ASSERT_EQ(result.termination, Termination::kLimitReached) << asks << " of " << all;
      if (result.ranked.empty() || !result.ranked.front().meets_limits) continue;
      ++stopped;
      const double first = value_of(result);
      EXPECT_GE(best, first * (1 - result.gap) * (1 - kNegligibleGain)) << asks << " of " << all;
      EXPECT_GE(result.gap, 0);
      EXPECT_LE(result.gap, 1);
      last = result.gap;
    }
    EXPECT_GT(stopped, 2);
    // Cells come in the order of their bounds: the end proves what the beginning found.
    EXPECT_LT(last, 0.5);
  }
}

TEST_P(StoppedSearch, WhatIsStoppedInItsOnlyCellIsNotComplete) {
  places.resize(1);
  job.max_global_batch.reset();
  job.global_batch = 4;
  job.ranks = 4;
  const SearchResult whole = searched(-1);
  const int all = asked;
  EXPECT_EQ(whole.gap, 0);
  for (int asks = 2; asks < all; asks += 5) {
    const SearchResult result = searched(asks);
    ASSERT_EQ(result.termination, Termination::kLimitReached) << asks << " of " << all;
    if (result.ranked.empty()) continue;
    EXPECT_GE(value_of(whole), value_of(result) * (1 - result.gap) * (1 - kNegligibleGain))
        << asks << " of " << all;
  }
}

INSTANTIATE_TEST_SUITE_P(Jobs, StoppedSearch, ::testing::Range(1, 4));

}  // namespace
}  // namespace pluto
