#include <gtest/gtest.h>

#include <vector>

#include "executor/data_source.h"

namespace pluto {
namespace {

std::vector<std::int64_t> epoch(const SampleOrder& order, std::int64_t samples,
                                std::int64_t number) {
  std::vector<std::int64_t> indices;
  for (std::int64_t i = 0; i < samples; ++i) indices.push_back(order.index(number * samples + i));
  return indices;
}

TEST(SampleOrderTest, EveryEpochIsAPermutation) {
  for (const std::int64_t samples : {1, 2, 3, 4, 5, 16, 17, 100, 1023, 4097, 60000}) {
    const SampleOrder order(samples, 7);
    for (const std::int64_t number : {0, 1, 5}) {
      std::vector<bool> seen(static_cast<std::size_t>(samples));
      for (const std::int64_t index : epoch(order, samples, number)) {
        ASSERT_GE(index, 0);
        ASSERT_LT(index, samples);
        ASSERT_FALSE(seen[static_cast<std::size_t>(index)]) << samples << " samples: twice";
        seen[static_cast<std::size_t>(index)] = true;
      }
    }
  }
}

TEST(SampleOrderTest, EpochsAndSeedsDiffer) {
  const SampleOrder order(1000, 7), other(1000, 8);
  EXPECT_NE(epoch(order, 1000, 0), epoch(order, 1000, 1));
  EXPECT_NE(epoch(order, 1000, 0), epoch(other, 1000, 0));
  EXPECT_EQ(epoch(order, 1000, 3), epoch(SampleOrder(1000, 7), 1000, 3));
}

// A permutation without structure puts the index i on average |i - j| = n / 3 away from position j.
TEST(SampleOrderTest, NeighboursAreTornApart) {
  constexpr std::int64_t kSamples = 20000;
  const SampleOrder order(kSamples, 1);
  const auto indices = epoch(order, kSamples, 0);
  double moved = 0, stepped = 0;
  for (std::int64_t i = 0; i + 1 < kSamples; ++i) {
    const auto at = static_cast<std::size_t>(i);
    moved += static_cast<double>(std::abs(indices[at] - i));
    stepped += static_cast<double>(std::abs(indices[at] - indices[at + 1]));
  }
  EXPECT_NEAR(moved / kSamples / kSamples, 1.0 / 3, 0.02);
  EXPECT_NEAR(stepped / kSamples / kSamples, 1.0 / 3, 0.02);
}

}  // namespace
}  // namespace pluto
