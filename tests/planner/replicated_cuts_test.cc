#include "planner/replicated_cuts.h"

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

ChainLayer layer(double seconds, std::int64_t output, std::int64_t parameters) {
  return {Seconds(seconds / 2), Seconds(seconds / 2), Bytes(output), Bytes(parameters), {}, {}};
}

/// The definition, without tables: every cut and every number of replicas at every level.
class AllTrees {
 public:
  AllTrees(const std::vector<ChainLayer>& layers, const std::vector<ClusterLevel>& levels)
      : layers_(layers), levels_(levels) {}

  /// Layers first..last on at most `machines` of level l.
  double best(std::size_t l, std::size_t first, std::size_t last, int machines) const {
    double least = std::numeric_limits<double>::infinity();
    for (int m = 1; m <= machines; ++m) {
      least = std::min(least, (whole(l, first, last) + sync(l, first, last, m) / below(l)) / m);
      for (std::size_t k = first; k < last; ++k) {
        for (int r = 1; r < m; ++r) {
          const double stage = (whole(l, k + 1, last) + sync(l, k + 1, last, r)) / r;
          const double out = last + 1 == layers_.size() ? 0 : message(l, last, r);
          least =
              std::min(least, std::max({best(l, first, k, m - r), stage, message(l, k, r), out}));
        }
      }
    }
    return least;
  }

 private:
  double whole(std::size_t l, std::size_t first, std::size_t last) const {
    if (l > 0) return best(l - 1, first, last, levels_[l - 1].machines);
    double sum = 0;
    for (std::size_t i = first; i <= last; ++i) {
      sum += (layers_[i].forward + layers_[i].backward).value();
    }
    return sum;
  }
  double sync(std::size_t l, std::size_t first, std::size_t last, int m) const {
    double sum = 0;
    for (std::size_t i = first; i <= last; ++i) {
      sum += static_cast<double>(layers_[i].parameters.value());
    }
    return 4 * (m - 1) * sum / (m * levels_[l].bandwidth.value());
  }
  double message(std::size_t l, std::size_t i, int r) const {
    return 2 * static_cast<double>(layers_[i].output.value()) / (r * levels_[l].bandwidth.value());
  }
  double below(std::size_t l) const {
    double count = 1;
    for (std::size_t i = 0; i < l; ++i) count *= levels_[i].machines;
    return count;
  }
  const std::vector<ChainLayer>& layers_;
  const std::vector<ClusterLevel>& levels_;
};

RC_GTEST_PROP(CutReplicated, IsTheBestOfAllTrees, ()) {
  std::vector<ChainLayer> layers;
  const int count = *rc::gen::inRange(1, 6);
  for (int i = 0; i < count; ++i) {
    layers.push_back(
        layer(*rc::gen::inRange(0, 30), *rc::gen::inRange(0, 20), *rc::gen::inRange(0, 10)));
  }
  std::vector<ClusterLevel> levels;
  const int depth = *rc::gen::inRange(1, 4);
  for (int l = 0; l < depth; ++l) {
    levels.push_back(
        {*rc::gen::inRange(1, depth == 1 ? 6 : 4), BytesPerSecond(*rc::gen::inRange(1, 20))});
  }
  const auto found = cut_replicated(layers, levels);
  RC_ASSERT(found.ok());
  const double expected =
      AllTrees(layers, levels)
          .best(levels.size() - 1, 0, layers.size() - 1, levels.back().machines);
  RC_ASSERT(std::abs(found->slowest.value() - expected) <= 1e-9 * (1 + expected));
  // The stages tile the chain and use no more devices than there are.
  std::size_t at = 0;
  int devices = 0, available = 1;
  for (const auto& stage : found->stages) {
    RC_ASSERT(stage.begin == at && stage.end > at);
    RC_ASSERT(stage.replicas.size() == levels.size());
    at = stage.end;
    int own = 1;
    for (std::size_t l = 0; l < levels.size(); ++l) {
      RC_ASSERT(stage.replicas[l] >= 1 && stage.replicas[l] <= levels[l].machines);
      own *= stage.replicas[l];
    }
    devices += own;
  }
  for (const auto& level : levels) available *= level.machines;
  RC_ASSERT(at == layers.size());
  RC_ASSERT(devices <= available);
}

TEST(CutReplicated, CopiesConvolutionsAndNotFullyConnectedLayers) {
  // Narayanan et al. 2019: VGG-16 runs as 15-1, its convolutions replicated.
  const std::vector<ChainLayer> layers{layer(10, 200, 1), layer(10, 200, 1), layer(10, 1, 1),
                                       layer(10, 1, 1000)};
  const std::vector<ClusterLevel> levels{{4, BytesPerSecond(10)}};
  const auto cuts = cut_replicated(layers, levels);
  ASSERT_TRUE(cuts.ok());
  EXPECT_THAT(cuts->stages, ElementsAre(ReplicatedStage{0, 3, {3}}, ReplicatedStage{3, 4, {1}}));
  EXPECT_NEAR(cuts->slowest.value(), (30 + 4.0 * 2 * 3 / (3 * 10)) / 3, 1e-12);
}

TEST(CutReplicated, LeavesMachinesIdleThatWouldOnlyCost) {
  const std::vector<ChainLayer> layers{layer(1, 1, 1000)};
  const auto cuts = cut_replicated(layers, std::vector<ClusterLevel>{{8, BytesPerSecond(1)}});
  ASSERT_TRUE(cuts.ok());
  EXPECT_THAT(cuts->stages, ElementsAre(ReplicatedStage{0, 1, {1}}));
  EXPECT_DOUBLE_EQ(cuts->slowest.value(), 1);
}

TEST(CutReplicated, RefusesWhatIsNoCluster) {
  const std::vector<ChainLayer> layers{layer(1, 1, 1)};
  EXPECT_THAT(cut_replicated({}, std::vector<ClusterLevel>{{}}).error().message,
              HasSubstr("0 layers"));
  EXPECT_THAT(cut_replicated(layers, {}).error().message, HasSubstr("0 levels"));
  EXPECT_THAT(
      cut_replicated(layers, std::vector<ClusterLevel>{{0, BytesPerSecond(1)}}).error().message,
      HasSubstr("levels[0] has 0 machines"));
  EXPECT_THAT(
      cut_replicated(layers, std::vector<ClusterLevel>{{2, BytesPerSecond(0)}}).error().message,
      HasSubstr("0 bytes/s"));
}

}  // namespace
}  // namespace pluto
