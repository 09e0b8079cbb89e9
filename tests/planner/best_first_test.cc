#include "planner/best_first.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "costmodel/uncertainty.h"
#include "planner/ranking.h"

namespace pluto {
namespace {

/// Cells with given times and prices, and bounds below them.
class TableSpace final : public PlanSpace {
 public:
  struct Row {
    double time, price, slack;
    bool fits = true;
  };
  explicit TableSpace(std::vector<Row> rows) : rows_(std::move(rows)) {}

  std::size_t cells() const override { return rows_.size(); }
  Result<std::optional<CellBound>> bound(std::size_t cell) override {
    const Row& row = rows_[cell];
    if (!row.fits) return std::optional<CellBound>();
    return std::optional(CellBound{Seconds(row.time * row.slack), Dollars(row.price * row.slack)});
  }
  Result<std::optional<RankedPlan>> best(std::size_t cell, const std::function<bool()>&) override {
    ++priced_;
    return std::optional(plan_of_row(rows_[cell], cell));
  }
  Result<std::optional<RankedPlan>> plain(const RankedPlan& chosen) override {
    RankedPlan plain = chosen;
    plain.prediction.step_time.p50 = plain.prediction.step_time.p50 * 2;
    return std::optional(plain);
  }
  Result<std::optional<RankedPlan>> lightest(const std::function<bool()>&) override {
    if (rows_.empty()) return std::optional<RankedPlan>();
    return std::optional(plan_of_row(rows_.front(), 0));
  }
  std::int64_t evaluated() const override { return priced_; }
  Rejections rejections() const override { return {}; }

  static RankedPlan plan_of_row(const Row& row, std::size_t cell) {
    RankedPlan one;
    one.plan.cluster.instance.name = "i" + std::to_string(cell);
    one.plan.cluster.instance.node.device.memory = Bytes(1);
    one.prediction.step_time = lognormal_interval(Seconds(row.time), 0.1);
    one.prediction.time_to_target = one.prediction.step_time;
    one.prediction.price = lognormal_interval(Dollars(row.price), 0.1);
    return one;
  }

 private:
  std::vector<Row> rows_;
  std::int64_t priced_ = 0;
};

std::vector<TableSpace::Row> random_rows(std::mt19937& random, std::size_t count) {
  std::uniform_real_distribution<double> any(1, 100), part(0.3, 1);
  std::vector<TableSpace::Row> rows;
  for (std::size_t i = 0; i < count; ++i) {
    rows.push_back({any(random), any(random), part(random), random() % 8 > 0});
  }
  return rows;
}

TEST(BestFirst, RanksAsIfEveryCellHadBeenPriced) {
  std::mt19937 random(3);
  std::int64_t priced = 0, cells = 0;
  for (int round = 0; round < 200; ++round) {
    const auto rows = random_rows(random, 1 + random() % 60);
    TrainingJob job;
    job.minimize = random() % 2 == 0 ? Objective::kCost : Objective::kTime;
    std::vector<std::pair<double, double>> expected;
    for (const auto& row : rows) {
      const bool by_cost = job.minimize == Objective::kCost;
      if (row.fits) {
        expected.emplace_back(by_cost ? row.price : row.time, by_cost ? row.time : row.price);
      }
    }
    std::sort(expected.begin(), expected.end());
    TableSpace space(rows);
    const auto result = best_first(job, space, false, {});
    ASSERT_TRUE(result.ok());
    if (expected.empty()) {
      EXPECT_EQ(result->termination, Termination::kInfeasible);
      continue;
    }
    ASSERT_EQ(result->ranked.size(), std::min<std::size_t>(10, expected.size()));
    for (std::size_t i = 0; i < result->ranked.size(); ++i) {
      const auto& p = result->ranked[i].prediction;
      const double value =
          job.minimize == Objective::kCost ? p.price.p50.value() : p.time_to_target.p50.value();
      EXPECT_DOUBLE_EQ(value, expected[i].first);
    }
    EXPECT_EQ(result->gap, 0);
    priced += result->evaluated;
    cells += result->cells;
  }
  EXPECT_LT(priced, cells);  // bounds spare some
}

TEST(BestFirst, TheFrontIsWhatNothingBeats) {
  std::mt19937 random(4);
  for (int round = 0; round < 100; ++round) {
    auto rows = random_rows(random, 40);
    TableSpace space(rows);
    const auto result = best_first(TrainingJob{}, space, true, {});
    ASSERT_TRUE(result.ok());
    std::size_t expected = 0;
    for (const auto& row : rows) {
      expected += row.fits && std::none_of(rows.begin(), rows.end(), [&](const auto& other) {
                    return other.fits && other.time <= row.time && other.price <= row.price &&
                           (other.time < row.time || other.price < row.price);
                  });
    }
    EXPECT_EQ(result->front.size(), expected);
  }
}

TEST(BestFirst, AStoppedSearchSaysHowFarItMayBeFromTheBest) {
  std::mt19937 random(5);
  for (int round = 0; round < 50; ++round) {
    const auto rows = random_rows(random, 60);
    TableSpace space(rows);
    int asked = 0;
    const auto result = best_first(TrainingJob{}, space, false, [&] { return ++asked > 70; });
    ASSERT_TRUE(result.ok());
    if (result->termination != Termination::kLimitReached) continue;
    ASSERT_FALSE(result->ranked.empty());
    double best = 1e300;
    for (const auto& row : rows) best = row.fits ? std::min(best, row.price) : best;
    const double found = result->ranked.front().prediction.price.p50.value();
    EXPECT_LE(1 - best / found, result->gap + 1e-12);
  }
}

TEST(BestFirst, WhatFitsNowhereIsShownByItsLightestPlan) {
  TableSpace space({{1, 1, 1, false}});
  const auto result = best_first(TrainingJob{}, space, false, {});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->termination, Termination::kInfeasible);
  EXPECT_EQ(result->ranked.size(), 1U);
}

}  // namespace
}  // namespace pluto
