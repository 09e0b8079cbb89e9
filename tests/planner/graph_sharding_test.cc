#include "planner/graph_sharding.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <limits>

#include "tests/support/seeded_properties.h"

namespace pluto {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr double kNever = std::numeric_limits<double>::infinity();

using Ops = std::vector<std::vector<Seconds>>;
using Edges = std::vector<ShardingEdge>;

ShardingEdge edge(const Ops& ops, std::size_t from, std::size_t to,
                  const std::function<double(std::size_t, std::size_t)>& cost) {
  ShardingEdge one{from, to, {}};
  one.cost.resize(ops[from].size());
  for (std::size_t i = 0; i < ops[from].size(); ++i) {
    for (std::size_t j = 0; j < ops[to].size(); ++j) one.cost[i].push_back(Seconds(cost(i, j)));
  }
  return one;
}

double total_of(const Ops& ops, const Edges& edges, const std::vector<std::size_t>& choice) {
  double total = 0;
  for (std::size_t o = 0; o < ops.size(); ++o) total += ops[o][choice[o]].value();
  for (const auto& one : edges) total += one.cost[choice[one.from]][choice[one.to]].value();
  return total;
}

double by_trying_all(const Ops& ops, const Edges& edges) {
  double best = kNever;
  std::vector<std::size_t> choice(ops.size(), 0);
  while (true) {
    best = std::min(best, total_of(ops, edges, choice));
    std::size_t i = 0;
    while (i < choice.size() && ++choice[i] == ops[i].size()) choice[i++] = 0;
    if (i == choice.size()) return best;
  }
}

Ops drawn_ops(std::size_t count, int most) {
  Ops ops(count);
  for (auto& op : ops) {
    const int choices = *rc::gen::inRange(1, most + 1);
    for (int c = 0; c < choices; ++c) op.push_back(Seconds(*rc::gen::inRange(0, 20)));
  }
  return ops;
}

RC_GTEST_PROP(ChooseShardings, IsTheBestOfAllOnRandomGraphs, ()) {
  const auto count = static_cast<std::size_t>(*rc::gen::inRange(1, 8));
  const Ops ops = drawn_ops(count, 3);
  Edges edges;
  const int joined = count < 2 ? 0 : *rc::gen::inRange(0, 20);
  for (int e = 0; e < joined; ++e) {
    const auto from = *rc::gen::inRange<std::size_t>(0, count - 1);
    const auto to = *rc::gen::inRange<std::size_t>(from + 1, count);
    edges.push_back(edge(ops, from, to, [](auto, auto) {
      const int drawn = *rc::gen::inRange(-3, 12);
      return drawn == 11 ? kNever : drawn;
    }));
    if (*rc::gen::arbitrary<bool>()) {  // told from the other end
      auto& one = edges.back();
      one = edge(ops, to, from,
                 [table = one.cost](std::size_t i, std::size_t j) { return table[j][i].value(); });
    }
  }
  const auto found = choose_shardings(ops, edges);
  RC_ASSERT(found.ok());
  const double expected = by_trying_all(ops, edges);
  RC_ASSERT(found->total.value() == expected);
  if (expected < kNever) RC_ASSERT(total_of(ops, edges, found->choice) == expected);
}

/// Choices of 0 .. n - 1 that each op likes by chance, and 1 s for each neighbour that differs.
Ops liking(std::size_t count, std::size_t choices) {
  Ops ops(count, std::vector<Seconds>(choices));
  for (std::size_t o = 0; o < count; ++o) {
    for (std::size_t c = 0; c < choices; ++c) {
      ops[o][c] = Seconds(static_cast<double>((o * 7919 + c * 104729) % 31) / 10);
    }
  }
  return ops;
}

TEST(ChooseShardings, SolvesALongResidualNetworkAndBeatsEachOnItsOwn) {
  constexpr std::size_t kBlocks = 200, kChoices = 8;
  const Ops ops = liking(3 * kBlocks + 1, kChoices);
  Edges edges;
  const auto differ = [](std::size_t i, std::size_t j) { return i == j ? 0.0 : 1.0; };
  for (std::size_t b = 0; b < kBlocks; ++b) {
    const std::size_t first = 3 * b;
    for (auto [from, to] : {std::pair(first, first + 1), std::pair(first + 1, first + 2),
                            std::pair(first + 2, first + 3), std::pair(first, first + 3)}) {
      edges.push_back(edge(ops, from, to, differ));
    }
  }
  const auto found = choose_shardings(ops, edges);
  ASSERT_TRUE(found.ok());
  EXPECT_NEAR(total_of(ops, edges, found->choice), found->total.value(), 1e-9);
  std::vector<std::size_t> alone(ops.size());
  for (std::size_t o = 0; o < ops.size(); ++o) {
    alone[o] = static_cast<std::size_t>(std::ranges::min_element(ops[o]) - ops[o].begin());
  }
  EXPECT_LT(found->total.value(), total_of(ops, edges, alone));
  for (std::size_t c = 0; c < kChoices; ++c) {
    EXPECT_LE(found->total.value(), total_of(ops, edges, std::vector<std::size_t>(ops.size(), c)));
  }
  // No op gains by changing alone.
  auto choice = found->choice;
  for (std::size_t o = 0; o < ops.size(); o += 17) {
    for (std::size_t c = 0; c < kChoices; ++c) {
      auto changed = choice;
      changed[o] = c;
      EXPECT_GE(total_of(ops, edges, changed), found->total.value() - 1e-9);
    }
  }
}

/// Krizhevsky 2014 ("One weird trick"): convolutions hold few parameters and large activations,
/// fully connected layers the other way round. AlexNet at 128 samples per worker on 8 workers.
TEST(ChooseShardings, SplitTheBatchOfConvolutionsAndTheWeightsOfFullyConnectedLayers) {
  struct Layer {
    double parameters, output;  // numbers; output of one sample
  };
  const std::vector<Layer> layers{{34944, 69984},   {614656, 43264}, {885120, 64896},
                                  {1327488, 64896}, {884992, 9216},  {37752832, 4096},
                                  {16781312, 4096}, {4097000, 1000}};
  constexpr double kWorkers = 8, kBatch = 128, kBandwidth = 1e9 / 4;  // numbers a second
  // 0: the batch is split, gradients are summed; 1: the weights are, every worker needs the whole
  // batch of its input and gives its part of the output to all.
  Ops ops;
  double input = 150528;
  for (const Layer& layer : layers) {
    const double sync = 2 * (kWorkers - 1) / kWorkers * layer.parameters / kBandwidth;
    const double gather = 2 * (kWorkers - 1) * kBatch * input / kBandwidth;
    ops.push_back({Seconds(sync), Seconds(gather)});
    input = layer.output;
  }
  Edges edges;
  for (std::size_t o = 0; o + 1 < ops.size(); ++o) {
    edges.push_back(
        edge(ops, o, o + 1, [](std::size_t i, std::size_t j) { return i == j ? 0.0 : 1e-4; }));
  }
  const auto found = choose_shardings(ops, edges);
  ASSERT_TRUE(found.ok());
  EXPECT_THAT(found->choice, ElementsAre(0, 0, 0, 0, 0, 1, 1, 0));
  EXPECT_LT(found->total.value(),
            0.6 * total_of(ops, edges, std::vector<std::size_t>(ops.size(), 0)));
}

TEST(ChooseShardings, JoinsEdgesBetweenTheSameOps) {
  const Ops ops{{Seconds(0), Seconds(1)}, {Seconds(0), Seconds(0)}};
  const auto apart = [](std::size_t i, std::size_t j) { return i == j ? 0.0 : 3.0; };
  const auto alike = [](std::size_t i, std::size_t j) { return i == j ? 2.0 : 0.0; };
  const auto found = choose_shardings(ops, Edges{edge(ops, 0, 1, apart), edge(ops, 1, 0, alike)});
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->total, Seconds(2));
  EXPECT_THAT(found->choice, ElementsAre(0, 0));
}

TEST(ChooseShardings, IsInfiniteWhereNothingIsLawful) {
  const Ops ops{{Seconds(0)}, {Seconds(0)}};
  const auto found =
      choose_shardings(ops, Edges{edge(ops, 0, 1, [](auto, auto) { return kNever; })});
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->total.value(), kNever);
}

TEST(ChooseShardings, RefusesWhatIsNoGraph) {
  const Ops ops{{Seconds(0)}, {Seconds(0), Seconds(1)}};
  EXPECT_THAT(choose_shardings(Ops{{}}, {}).error().message, HasSubstr("ops[0]"));
  EXPECT_THAT(choose_shardings(ops, Edges{{0, 2, {}}}).error().message,
              HasSubstr("edges[0] joins 0 and 2 of 2 ops"));
  EXPECT_FALSE(choose_shardings(ops, Edges{{1, 1, {}}}).ok());
  EXPECT_THAT(choose_shardings(ops, Edges{{0, 1, {{Seconds(0)}}}}).error().message,
              HasSubstr("edges[0].cost is not 1 x 2"));
}

}  // namespace
}  // namespace pluto
