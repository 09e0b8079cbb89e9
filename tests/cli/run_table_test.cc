#include "cli/run_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pluto {
namespace {

using ::testing::HasSubstr;

/// Two predicted runs, one of them with a price, and one that is not predicted.
std::vector<ValidatedRuns> example() {
  ValidatedRuns runs;
  runs.family = "bench";
  for (const char* name : {"close", "far", "none"}) {
    ReportedRun run;
    run.name = name;
    run.line = static_cast<int>(runs.runs.size()) + 2;
    run.time = Seconds(100);
    run.row.machine = "node";
    runs.runs.push_back(run);
  }
  runs.runs[1].price = Dollars(10);
  runs.runs[2].unpredictable = "no GPU";
  runs.times = {ScoredStep{110, 100, 0.1}, ScoredStep{50, 100, 0.1}, std::nullopt};
  runs.prices = {std::nullopt, ScoredStep{5, 10, 0.1}, std::nullopt};
  return {runs};
}

TEST(RunTableTest, FamiliesHaveTheirErrorsAndCoverage) {
  const auto rows = run_error_rows(example());
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[1], (std::vector<std::string>{"bench", "3", "2", "30.0 %", "46.0 %", "-25.8 %",
                                               "50 %", "50.0 %", "50.0 %", "-50.0 %", "0 %"}));
  EXPECT_EQ(rows[0].size(), rows[1].size());
}

TEST(RunTableTest, WorstComeFirst) {
  const auto rows = worst_run_rows(example(), 1);
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[1][0], "-50.0 %");
  EXPECT_EQ(rows[1][1], "bench:3");
}

TEST(RunTableTest, WhatIsNotPredictedIsCountedByReason) {
  const auto lines = unpredicted_lines(example());
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0], "bench: 1 of 3 are not predicted: 1 no GPU");
}

TEST(RunTableTest, JsonHasEveryRun) {
  const std::string text = to_json(run_errors_value(example()), true);
  EXPECT_THAT(text, HasSubstr(R"("predicted_s":110)"));
  EXPECT_THAT(text, HasSubstr(R"("why_not":"no GPU")"));
}

}  // namespace
}  // namespace pluto
