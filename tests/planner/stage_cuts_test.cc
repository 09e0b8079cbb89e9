#include "planner/stage_cuts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <random>

#include "tests/support/seeded_properties.h"

namespace pluto {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ChainLayer layer(double seconds, std::int64_t output = 0, std::int64_t states = 0,
                 std::int64_t kept = 0) {
  return {Seconds(seconds / 3), Seconds(seconds * 2 / 3),
          Bytes(output),        Bytes(states),
          Bytes(states),        Bytes(kept)};
}

std::vector<ChainLayer> drawn_layers(int least, int most) {
  std::vector<ChainLayer> layers;
  const int count = *rc::gen::inRange(least, most + 1);
  for (int i = 0; i < count; ++i) {
    layers.push_back(layer(*rc::gen::inRange(0, 20), *rc::gen::inRange(0, 12),
                           *rc::gen::inRange(0, 6), *rc::gen::inRange(0, 6)));
  }
  return layers;
}

/// One way to cut, priced from its definition; nullopt when a stage does not fit.
std::optional<StageCuts> priced(const std::vector<ChainLayer>& layers, const CutRules& rules,
                                const std::vector<std::size_t>& first) {
  StageCuts cuts;
  cuts.first = first;
  std::vector<std::size_t> bounds{0};
  bounds.insert(bounds.end(), first.begin(), first.end());
  bounds.push_back(layers.size());
  for (std::size_t s = 0; s + 1 < bounds.size(); ++s) {
    Seconds own;
    std::int64_t held = 0;
    const auto kept =
        std::min<std::int64_t>(rules.stages - static_cast<int>(s), rules.micro_batches);
    for (std::size_t i = bounds[s]; i < bounds[s + 1]; ++i) {
      own += layers[i].forward + layers[i].backward;
      held += layers[i].states.value() + kept * layers[i].kept.value();
    }
    if (rules.memory && held > rules.memory->value()) return std::nullopt;
    cuts.total += own;
    cuts.slowest = std::max(cuts.slowest, own);
    if (s == 0) continue;
    const Seconds message = rules.latency + layers[bounds[s] - 1].output / rules.bandwidth;
    cuts.total += 2.0 * message;
    cuts.slowest = std::max(cuts.slowest, message);
  }
  return cuts;
}

std::optional<StageCuts> by_trying_all(const std::vector<ChainLayer>& layers,
                                       const CutRules& rules) {
  std::optional<StageCuts> best;
  const std::size_t count = layers.size();
  for (std::size_t set = 0; set < std::size_t{1} << (count - 1); ++set) {
    std::vector<std::size_t> first;
    for (std::size_t i = 1; i < count; ++i) {
      if (set >> (i - 1) & 1) first.push_back(i);
    }
    if (first.size() + 1 != static_cast<std::size_t>(rules.stages)) continue;
    const auto cuts = priced(layers, rules, first);
    if (cuts && (!best || cuts->step(rules.micro_batches) < best->step(rules.micro_batches))) {
      best = cuts;
    }
  }
  return best;
}

RC_GTEST_PROP(CutStages, AreTheBestOfAllCuts, ()) {
  const auto layers = drawn_layers(1, 9);
  CutRules rules;
  rules.stages = *rc::gen::inRange(1, static_cast<int>(layers.size()) + 1);
  rules.micro_batches = *rc::gen::inRange(1, 9);
  rules.bandwidth = BytesPerSecond(*rc::gen::inRange(1, 5));
  rules.latency = Seconds(*rc::gen::inRange(0, 3));
  if (*rc::gen::arbitrary<bool>()) rules.memory = Bytes(*rc::gen::inRange(0, 60));
  const auto found = cut_stages(layers, rules);
  const auto expected = by_trying_all(layers, rules);
  RC_ASSERT(found.ok());
  RC_ASSERT(found->has_value() == expected.has_value());
  if (!expected) return;
  const StageCuts& cuts = **found;
  const auto again = priced(layers, rules, cuts.first);
  RC_ASSERT(again.has_value());
  const double step = cuts.step(rules.micro_batches).value();
  RC_ASSERT(std::abs(step - expected->step(rules.micro_batches).value()) <= 1e-9 * (1 + step));
  RC_ASSERT(std::abs(step - again->step(rules.micro_batches).value()) <= 1e-9 * (1 + step));
  RC_ASSERT(std::abs((cuts.slowest - again->slowest).value()) <= 1e-9 * (1 + step));
}

RC_GTEST_PROP(CutStages, MoreMemoryIsNeverSlower, ()) {
  const auto layers = drawn_layers(2, 30);
  CutRules rules;
  rules.stages = *rc::gen::inRange(1, 3);
  rules.micro_batches = *rc::gen::inRange(1, 9);
  rules.bandwidth = BytesPerSecond(2);
  rules.memory = Bytes(*rc::gen::inRange(0, 200));
  const auto tight = cut_stages(layers, rules);
  rules.memory = Bytes(rules.memory->value() + *rc::gen::inRange(0, 100));
  const auto roomy = cut_stages(layers, rules);
  RC_ASSERT(tight.ok() && roomy.ok());
  if (!tight->has_value()) return;
  RC_ASSERT(roomy->has_value());
  RC_ASSERT((*roomy)->step(rules.micro_batches) <=
            (*tight)->step(rules.micro_batches) * (1 + 1e-12));
}

TEST(CutStages, CutWhereLittleCrossesWhenMicroBatchesAreFew) {
  // Even stages cross 80 bytes, uneven ones none.
  const std::vector<ChainLayer> layers{layer(4, 0), layer(2, 80), layer(2, 80), layer(4, 0)};
  CutRules rules;
  rules.stages = 2;
  rules.bandwidth = BytesPerSecond(10);
  rules.micro_batches = 1;
  EXPECT_THAT((**cut_stages(layers, rules)).first, ElementsAre(1));
  rules.bandwidth = BytesPerSecond(1000);
  rules.micro_batches = 64;
  EXPECT_THAT((**cut_stages(layers, rules)).first, ElementsAre(2));
}

TEST(CutStages, GivesTheFirstStageLessWhereItKeepsMore) {
  // 1F1B: the first of two stages keeps two micro-batches.
  const std::vector<ChainLayer> layers(6, layer(1, 0, 0, 10));
  CutRules rules;
  rules.stages = 2;
  rules.micro_batches = 8;
  rules.bandwidth = BytesPerSecond(1);
  EXPECT_THAT((**cut_stages(layers, rules)).first, ElementsAre(3));
  rules.memory = Bytes(40);
  EXPECT_THAT((**cut_stages(layers, rules)).first, ElementsAre(2));
  rules.memory = Bytes(39);
  EXPECT_FALSE(cut_stages(layers, rules)->has_value());
  rules.micro_batches = 1;  // then it keeps one
  EXPECT_THAT((**cut_stages(layers, rules)).first, ElementsAre(3));
}

TEST(CutStages, RefuseWhatCannotBeCut) {
  const std::vector<ChainLayer> layers(2, layer(1));
  CutRules rules;
  rules.bandwidth = BytesPerSecond(1);
  rules.stages = 3;
  EXPECT_THAT(cut_stages(layers, rules).error().message, HasSubstr("2 layers for 3 stages"));
  rules.stages = 0;
  EXPECT_THAT(cut_stages(layers, rules).error().message, HasSubstr("0 stages"));
  rules.stages = 2;
  rules.bandwidth = BytesPerSecond(0);
  EXPECT_THAT(cut_stages(layers, rules).error().message, HasSubstr("bandwidth"));
  rules.micro_batches = 0;
  EXPECT_THAT(cut_stages(layers, rules).error().message, HasSubstr("0 micro-batches"));
}

}  // namespace
}  // namespace pluto
