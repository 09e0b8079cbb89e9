#include "planner/layer_strategies.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <limits>
#include <map>

#include "tests/support/seeded_properties.h"

namespace pluto {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr double kNever = std::numeric_limits<double>::infinity();

TransitionTable drawn_table(std::size_t before, std::size_t after) {
  if (*rc::gen::inRange(0, 3) == 0) return {};
  TransitionTable table(before, std::vector<Seconds>(after));
  for (auto& row : table) {
    for (auto& cost : row) {
      const int drawn = *rc::gen::inRange(0, 8);
      cost = Seconds(drawn == 7 ? kNever : drawn);
    }
  }
  return table;
}

std::vector<LayerRun> drawn_runs() {
  std::vector<LayerRun> runs;
  int left = *rc::gen::inRange(1, 7);
  while (left > 0) {
    LayerRun run;
    run.count = *rc::gen::inRange(1, left + 1);
    left -= run.count;
    const int choices = *rc::gen::inRange(1, 4);
    for (int c = 0; c < choices; ++c) {
      run.choices.push_back({Seconds(*rc::gen::inRange(0, 20)), Bytes(*rc::gen::inRange(0, 20))});
    }
    const auto own = run.choices.size();
    run.enter = drawn_table(runs.empty() ? own : runs.back().choices.size(), own);
    run.between = drawn_table(own, own);
    runs.push_back(std::move(run));
  }
  return runs;
}

/// Time and memory of given choices, from the definition.
LayerStrategies priced(const std::vector<LayerRun>& runs, const std::vector<int>& choice) {
  LayerStrategies result;
  result.choice = choice;
  std::size_t at = 0;
  for (std::size_t r = 0; r < runs.size(); ++r) {
    for (int i = 0; i < runs[r].count; ++i, ++at) {
      const auto& own = runs[r].choices[static_cast<std::size_t>(choice[at])];
      result.time += own.time;
      result.memory += own.memory;
      const TransitionTable& table = i == 0 ? runs[r].enter : runs[r].between;
      if (at == 0 || table.empty()) continue;
      result.time +=
          table[static_cast<std::size_t>(choice[at - 1])][static_cast<std::size_t>(choice[at])];
    }
  }
  return result;
}

/// Least time by memory, of all choices.
std::map<std::int64_t, double> all_of(const std::vector<LayerRun>& runs) {
  std::vector<int> sizes;
  for (const auto& run : runs) {
    for (int i = 0; i < run.count; ++i) sizes.push_back(static_cast<int>(run.choices.size()));
  }
  std::map<std::int64_t, double> best;
  std::vector<int> choice(sizes.size(), 0);
  while (true) {
    const auto one = priced(runs, choice);
    const auto [at, is_new] = best.try_emplace(one.memory.value(), one.time.value());
    if (!is_new) at->second = std::min(at->second, one.time.value());
    std::size_t i = 0;
    while (i < choice.size() && ++choice[i] == sizes[i]) choice[i++] = 0;
    if (i == choice.size()) return best;
  }
}

RC_GTEST_PROP(ChooseStrategies, IsTheFastestThatFits, ()) {
  const auto runs = drawn_runs();
  const std::int64_t limit = *rc::gen::inRange(0, 100);
  double expected = kNever;
  for (const auto& [memory, time] : all_of(runs)) {
    if (memory <= limit) expected = std::min(expected, time);
  }
  const auto found = choose_strategies(runs, Bytes(limit));
  RC_ASSERT(found.ok());
  RC_ASSERT(found->has_value() == (expected < kNever));
  if (!found->has_value()) return;
  RC_ASSERT((*found)->time.value() == expected);
  const auto again = priced(runs, (*found)->choice);
  RC_ASSERT(again.time == (*found)->time);
  RC_ASSERT(again.memory == (*found)->memory);
  RC_ASSERT(again.memory <= Bytes(limit));
}

RC_GTEST_PROP(StrategyFront, HoldsAllThatIsNotDominated, ()) {
  const auto runs = drawn_runs();
  const std::int64_t limit = *rc::gen::inRange(0, 100);
  std::vector<std::pair<std::int64_t, double>> expected;
  for (const auto& [memory, time] : all_of(runs)) {
    if (memory > limit || !(time < kNever)) continue;
    if (expected.empty() || time < expected.back().second) expected.emplace_back(memory, time);
  }
  const auto front = strategy_front(runs, Bytes(limit));
  RC_ASSERT(front.ok());
  RC_ASSERT(front->size() == expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    RC_ASSERT((*front)[i].memory.value() == expected[i].first);
    RC_ASSERT((*front)[i].time.value() == expected[i].second);
    RC_ASSERT(priced(runs, (*front)[i].choice).time == (*front)[i].time);
  }
}

TEST(ChooseStrategies, HasNoAnswerWhereNoneCanMeet) {
  LayerRun run;
  run.count = 2;
  run.choices = {{Seconds(1), Bytes(1)}};
  run.between = {{Seconds(kNever)}};
  EXPECT_FALSE(choose_strategies(std::vector{run}, Bytes(10))->has_value());
  EXPECT_TRUE(strategy_front(std::vector{run}, Bytes(10))->empty());
}

TEST(ChooseStrategies, UsesTheLastByte) {
  // A grid of 1 MB rounds three layers of 1.1 MB up to 6 MB, and would find nothing in 3.3 MB.
  LayerRun run;
  run.count = 3;
  run.choices = {{Seconds(1), Bytes(1'100'000)}};
  EXPECT_TRUE(choose_strategies(std::vector{run}, Bytes(3'300'000))->has_value());
  EXPECT_FALSE(choose_strategies(std::vector{run}, Bytes(3'299'999))->has_value());
}

TEST(ChooseStrategies, ChangesStrategyOnceWhenChangingCosts) {
  LayerRun run;
  run.count = 6;
  run.choices = {{Seconds(1), Bytes(10)}, {Seconds(2), Bytes(5)}};
  run.between = {{Seconds(0), Seconds(0.5)}, {Seconds(0.5), Seconds(0)}};
  const auto found = choose_strategies(std::vector{run}, Bytes(45));
  ASSERT_TRUE(found.ok() && found->has_value());
  EXPECT_DOUBLE_EQ((*found)->time.value(), 3 * 1 + 3 * 2 + 0.5);
  EXPECT_EQ((*found)->memory, Bytes(45));
}

TEST(ChooseStrategies, RefusesWhatIsNoChain) {
  EXPECT_THAT(choose_strategies({}, Bytes(1)).error().message, HasSubstr("no layers"));
  LayerRun run;
  EXPECT_THAT(choose_strategies(std::vector{run}, Bytes(1)).error().message,
              HasSubstr("1 layers and 0 choices"));
  run.choices = {{Seconds(1), Bytes(1)}};
  run.between = {{Seconds(1), Seconds(1)}};
  EXPECT_THAT(choose_strategies(std::vector{run}, Bytes(1)).error().message,
              HasSubstr("runs[0].between is not 1 x 1"));
  run.between.clear();
  LayerRun next = run;
  next.enter = {{Seconds(1)}, {Seconds(1)}};
  EXPECT_THAT(strategy_front(std::vector{run, next}, Bytes(1)).error().message,
              HasSubstr("runs[1].enter is not 1 x 1"));
  run.choices[0].memory = Bytes(-1);
  EXPECT_THAT(choose_strategies(std::vector{run}, Bytes(1)).error().message, HasSubstr("-1 bytes"));
}

}  // namespace
}  // namespace pluto
