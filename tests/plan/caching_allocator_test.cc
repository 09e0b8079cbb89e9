#include "plan/caching_allocator.h"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <utility>
#include <vector>

namespace pluto {
namespace {

constexpr std::int64_t kKiB = 1024, kMiB = 1024 * kKiB;

TEST(CachingAllocator, RoundsRequestsTo512Bytes) {
  CachingAllocator allocator;
  ASSERT_TRUE(allocator.allocate(Bytes(1)));
  ASSERT_TRUE(allocator.allocate(Bytes(513)));
  EXPECT_EQ(allocator.allocated(), Bytes(512 + 1024));
  EXPECT_EQ(allocator.reserved(), Bytes(2 * kMiB));
}

TEST(CachingAllocator, NothingTakesNothing) {
  CachingAllocator allocator;
  const auto nothing = allocator.allocate(Bytes(0));
  ASSERT_TRUE(nothing);
  allocator.release(*nothing);
  EXPECT_EQ(allocator.reserved(), Bytes(0));
}

TEST(CachingAllocator, SegmentsGrowByTheClassOfTheRequest) {
  const std::pair<std::int64_t, std::int64_t> cases[] = {
      {kMiB, 2 * kMiB},            // the largest small one
      {kMiB + 1, 20 * kMiB},       // the smallest large one
      {10 * kMiB - 1, 10 * kMiB},  // rounded to 512 B it is 10 MiB: a segment of its own
      {10 * kMiB - 512, 20 * kMiB},
      {11 * kMiB, 12 * kMiB},
      {12 * kMiB, 12 * kMiB}};
  for (const auto& [request, segment] : cases) {
    CachingAllocator allocator;
    ASSERT_TRUE(allocator.allocate(Bytes(request)));
    EXPECT_EQ(allocator.reserved(), Bytes(segment)) << request;
  }
}

TEST(CachingAllocator, SplitsLargeBlocksOnlyWhenMoreThanOneMebibyteRemains) {
  CachingAllocator allocator;
  const auto first = allocator.allocate(Bytes(20 * kMiB));
  allocator.release(*first);
  // 19 MiB leave 1 MiB, which is not split off: the block counts whole.
  const auto most = allocator.allocate(Bytes(19 * kMiB));
  EXPECT_EQ(allocator.allocated(), Bytes(20 * kMiB));
  allocator.release(*most);
  const auto less = allocator.allocate(Bytes(19 * kMiB - 512));
  EXPECT_EQ(allocator.allocated(), Bytes(19 * kMiB - 512));
  ASSERT_TRUE(allocator.allocate(Bytes(kMiB + 512)));  // fits what was split off
  EXPECT_EQ(allocator.reserved(), Bytes(20 * kMiB));
  allocator.release(*less);
}

TEST(CachingAllocator, TakesTheSmallestFreeBlockThatFits) {
  CachingAllocator allocator;
  const auto large = allocator.allocate(Bytes(30 * kMiB));
  const auto small = allocator.allocate(Bytes(14 * kMiB));
  allocator.release(*large);
  allocator.release(*small);
  ASSERT_TRUE(allocator.allocate(Bytes(13 * kMiB)));
  ASSERT_TRUE(allocator.allocate(Bytes(30 * kMiB)));  // still whole
  EXPECT_EQ(allocator.reserved(), Bytes(44 * kMiB));
}

TEST(CachingAllocator, FreeNeighboursJoinInEveryOrder) {
  for (const auto& order : {std::array{0, 1, 2}, std::array{2, 1, 0}, std::array{0, 2, 1}}) {
    CachingAllocator allocator;
    std::array<CachingAllocator::Handle, 3> parts;
    for (auto& part : parts) part = *allocator.allocate(Bytes(6 * kMiB));  // one segment of 20 MiB
    for (const int part : order) allocator.release(parts[static_cast<std::size_t>(part)]);
    EXPECT_EQ(allocator.allocated(), Bytes(0));
    const auto whole = allocator.allocate(Bytes(20 * kMiB));
    ASSERT_TRUE(whole);
    EXPECT_EQ(allocator.reserved(), Bytes(20 * kMiB));
  }
}

TEST(CachingAllocator, BlocksOfDifferentSegmentsDoNotJoin) {
  CachingAllocator allocator;
  const auto a = allocator.allocate(Bytes(20 * kMiB)), b = allocator.allocate(Bytes(20 * kMiB));
  allocator.release(*a);
  allocator.release(*b);
  ASSERT_TRUE(allocator.allocate(Bytes(40 * kMiB)));
  EXPECT_EQ(allocator.reserved(), Bytes(80 * kMiB)) << "fragmentation is what reserved counts";
}

TEST(CachingAllocator, GivesUnusedSegmentsBackBeforeItGivesUp) {
  CachingAllocator allocator(Bytes(64 * kMiB));
  const auto a = allocator.allocate(Bytes(30 * kMiB));
  const auto b = allocator.allocate(Bytes(30 * kMiB));
  allocator.release(*a);
  EXPECT_FALSE(allocator.allocate(Bytes(40 * kMiB)));
  EXPECT_EQ(allocator.reserved(), Bytes(30 * kMiB)) << "a's segment went back all the same";
  EXPECT_EQ(allocator.allocated(), Bytes(30 * kMiB));
  allocator.release(*b);
  EXPECT_TRUE(allocator.allocate(Bytes(60 * kMiB)));
  EXPECT_EQ(allocator.peak_reserved(), Bytes(60 * kMiB));
}

TEST(CachingAllocator, HoldsItsLawsOnRandomSequences) {
  std::mt19937 random(7);
  CachingAllocator allocator;
  std::vector<std::pair<CachingAllocator::Handle, std::int64_t>> live;
  std::int64_t requested = 0;
  for (int i = 0; i < 5000; ++i) {
    if (live.empty() || random() % 100 < 52) {
      const std::int64_t size = 1 + static_cast<std::int64_t>(random() % (1U << (random() % 25)));
      live.push_back({*allocator.allocate(Bytes(size)), size});
      requested += size;
    } else {
      std::swap(live[random() % live.size()], live.back());
      allocator.release(live.back().first);
      requested -= live.back().second;
      live.pop_back();
    }
    ASSERT_GE(allocator.allocated().value(), requested);
    ASSERT_GE(allocator.reserved(), allocator.allocated());
    ASSERT_EQ(allocator.reserved().value() % (2 * kMiB), 0);
    ASSERT_EQ(allocator.reserved(), allocator.peak_reserved()) << "nothing shrinks unasked";
  }
  for (const auto& [handle, size] : live) allocator.release(handle);
  EXPECT_EQ(allocator.allocated(), Bytes(0));
}

}  // namespace
}  // namespace pluto
