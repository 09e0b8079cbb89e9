#include "planner/annealing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

namespace pluto {
namespace {

/// One number from 0 to 199 in steps of one to four, on a slope with a pit in every twelve; best at
/// 150.
double hilly(int at) { return std::abs(at - 150) + 6 * std::sin(at * 2 * 3.14159265 / 12); }

AnnealingProblem<int> walk() {
  return {[](int at, std::mt19937_64& random) {
            const int step = 1 + static_cast<int>(pick(random, 4));
            const int next = at + (pick(random, 2) == 0 ? -step : step);
            return std::clamp(next, 0, 199);
          },
          [](int at) -> Result<double> { return hilly(at); }};
}

int descend(int at) {
  while (true) {
    int next = at;
    for (int one = std::max(0, at - 4); one <= std::min(199, at + 4); ++one) {
      if (hilly(one) < hilly(next)) next = one;
    }
    if (next == at) return at;
    at = next;
  }
}

TEST(Annealing, LeavesThePitsInWhichADescentEnds) {
  int best = 0;
  for (int at = 0; at < 200; ++at) best = hilly(at) < hilly(best) ? at : best;
  const int stuck = descend(20);
  ASSERT_GT(hilly(stuck), hilly(best) + 50);
  int reached = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const auto found = anneal(walk(), stuck, hilly(stuck), {seed, 20'000, {}});
    ASSERT_TRUE(found.ok());
    EXPECT_DOUBLE_EQ(found->energy, hilly(found->state));
    reached += found->state == best;
  }
  EXPECT_GE(reached, 18);
}

TEST(Annealing, IsNeverWorseThanItsStartNorLongerThanItsBudget) {
  for (const std::int64_t budget : {0, 1, 5, 50, 500}) {
    const auto found = anneal(walk(), 60, hilly(60), {7, budget, {}});
    ASSERT_TRUE(found.ok());
    EXPECT_LE(found->energy, hilly(60));
    EXPECT_EQ(found->evaluations, budget);
  }
}

TEST(Annealing, IsTheSameEveryTimeAndOtherWithAnotherSeed) {
  const auto trace = [](std::uint64_t seed) {
    std::vector<int> seen;
    AnnealingProblem<int> problem = walk();
    problem.energy = [&](int at) -> Result<double> {
      seen.push_back(at);
      return hilly(at);
    };
    EXPECT_TRUE(anneal(problem, 60, hilly(60), {seed, 200, {}}).ok());
    return seen;
  };
  EXPECT_EQ(trace(3), trace(3));
  EXPECT_NE(trace(3), trace(4));
}

TEST(Annealing, EndsWhenAskedTo) {
  int asked = 0;
  const auto found = anneal(walk(), 60, hilly(60), {1, 1000, [&] { return ++asked > 10; }});
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->evaluations, 10);
}

TEST(Annealing, FindsItsWayOutOfWhatHasNoEnergy) {
  AnnealingProblem<int> problem = walk();
  problem.energy = [](int at) -> Result<double> {
    return at < 80 ? std::numeric_limits<double>::infinity() : hilly(at);
  };
  const auto found = anneal(problem, 70, std::numeric_limits<double>::infinity(), {1, 5000, {}});
  ASSERT_TRUE(found.ok());
  EXPECT_TRUE(std::isfinite(found->energy));
}

TEST(Annealing, SaysWhatTheEnergySays) {
  AnnealingProblem<int> problem = walk();
  problem.energy = [](int) -> Result<double> { return invalid_input("no such state"); };
  const auto found = anneal(problem, 0, 1.0, {1, 10, {}});
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().message, "no such state");
}

TEST(AnnealingSchedule, BeginsWhereOneInFiveIsAcceptedAndEndsAHundredthBelow) {
  constexpr std::int64_t kBudget = 1'000'000;
  AnnealingSchedule schedule(5, kBudget);
  for (std::int64_t i = 0; i < kBudget / 10; ++i) {
    EXPECT_EQ(schedule.temperature(), 0);
    ASSERT_FALSE(schedule.accepts(i % 2 == 0 ? 1.0 : 3.0));  // 2 on average
  }
  const double first = schedule.temperature();
  EXPECT_NEAR(first, 2 / std::log(5), 1e-9);
  int accepted = 0;
  for (int i = 0; i < 2000; ++i) accepted += schedule.accepts(2.0);
  EXPECT_NEAR(accepted / 2000.0, 0.2, 0.04);
  for (std::int64_t i = kBudget / 10 + 2000; i < kBudget; ++i) {
    const double before = schedule.temperature();
    EXPECT_TRUE(schedule.accepts(0));
    ASSERT_LT(schedule.temperature(), before);
  }
  EXPECT_NEAR(schedule.temperature() / first, 0.01, 1e-6);
}

TEST(Pick, TakesEachAsOften) {
  std::mt19937_64 random(1);
  std::array<int, 7> seen{};
  for (int i = 0; i < 70'000; ++i) ++seen[pick(random, seen.size())];
  for (const int count : seen) EXPECT_NEAR(count, 10'000, 500);
}

}  // namespace
}  // namespace pluto
