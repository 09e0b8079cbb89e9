#include "planner/annealed_cuts.h"

#include <gtest/gtest.h>

#include <random>

#include "planner/greedy_placement.h"

namespace pluto {
namespace {

std::vector<ChainLayer> random_layers(std::mt19937& random, std::size_t count) {
  std::vector<ChainLayer> layers;
  for (std::size_t i = 0; i < count; ++i) {
    const double time = 1 + static_cast<double>(random() % 20);
    layers.push_back({Seconds(time / 3), Seconds(time * 2 / 3), Bytes(random() % 100), Bytes(0),
                      Bytes(random() % 10), Bytes(random() % 4)});
  }
  return layers;
}

CutRules rules_of(int stages) {
  CutRules rules;
  rules.stages = stages;
  rules.micro_batches = 8;
  rules.bandwidth = BytesPerSecond(10);
  return rules;
}

TEST(AnnealCuts, LieBetweenTheGreedyAndTheExactOnes) {
  std::mt19937 random(11);
  double greedy_lost = 0, lost = 0;
  constexpr int kRounds = 50;
  for (int round = 0; round < kRounds; ++round) {
    const auto layers = random_layers(random, 40);
    const CutRules rules = rules_of(2 + static_cast<int>(random() % 7));
    const auto greedy = place_greedily(layers, rules), exact = cut_stages(layers, rules);
    const auto annealed = anneal_cuts(layers, rules, {1, 2000, {}});
    ASSERT_TRUE(greedy.ok() && exact.ok() && annealed.ok());
    ASSERT_TRUE(*greedy && *exact && *annealed);
    const double least = (*exact)->step(8).value();
    EXPECT_GE((*annealed)->step(8).value(), least * (1 - 1e-12));
    EXPECT_LE((*annealed)->step(8), (*greedy)->step(8));
    EXPECT_EQ((*annealed)->first.size() + 1, static_cast<std::size_t>(rules.stages));
    greedy_lost += ((*greedy)->step(8).value() / least - 1) / kRounds;
    lost += ((*annealed)->step(8).value() / least - 1) / kRounds;
  }
  RecordProperty("greedy_lost", std::to_string(greedy_lost));
  RecordProperty("lost", std::to_string(lost));
  EXPECT_LT(lost, 0.02);
  EXPECT_GT(greedy_lost, lost * 2);
}

TEST(AnnealCuts, FindWhatFitsWhereGreedyDoesNot) {
  std::mt19937 random(12);
  int missed = 0, found = 0;
  for (int round = 0; round < 1500; ++round) {
    const auto layers = random_layers(random, 12);
    CutRules rules = rules_of(4);
    rules.memory = Bytes(20 + static_cast<std::int64_t>(random() % 20));
    const auto greedy = place_greedily(layers, rules), exact = cut_stages(layers, rules);
    const auto annealed = anneal_cuts(layers, rules, {1, 500, {}});
    ASSERT_TRUE(greedy.ok() && exact.ok() && annealed.ok());
    if (!*exact) {
      EXPECT_FALSE(annealed->has_value());
      continue;
    }
    if (*greedy) {
      EXPECT_TRUE(annealed->has_value());
      continue;
    }
    ++missed;
    found += annealed->has_value();
  }
  RecordProperty("missed_by_greedy", missed);
  EXPECT_GT(missed, 20);
  EXPECT_GE(found, missed * 9 / 10);
}

TEST(AnnealCuts, OneStageHasNoCuts) {
  std::mt19937 random(13);
  const auto cuts = anneal_cuts(random_layers(random, 3), rules_of(1), {1, 10, {}});
  ASSERT_TRUE(cuts.ok() && *cuts);
  EXPECT_TRUE((*cuts)->first.empty());
}

}  // namespace
}  // namespace pluto
