#include <gtest/gtest.h>

#include <functional>
#include <thread>

#include "runtime/point_to_point.h"
#include "tests/support/communicator_contract.h"

namespace pluto {
namespace {

class InProcessCommunicatorTest : public ::testing::TestWithParam<int> {
 protected:
  void on_every_rank(const std::function<void(Communicator&)>& body) {
    auto ranks = make_in_process_communicators(GetParam());
    std::vector<std::jthread> threads;
    for (auto& rank : ranks) threads.emplace_back([&rank, &body] { body(*rank); });
  }
};

TEST_P(InProcessCommunicatorTest, AllReduceSums) { on_every_rank(testing::all_reduce_sums); }
TEST_P(InProcessCommunicatorTest, ShardsReduceToTheirOwnersAndComeBack) {
  on_every_rank(testing::shards_reduce_to_their_owners_and_come_back);
}
TEST_P(InProcessCommunicatorTest, AllGatherKeepsRankOrder) {
  on_every_rank(testing::all_gather_keeps_rank_order);
}
TEST_P(InProcessCommunicatorTest, BroadcastReachesEveryoneFromAnyRoot) {
  on_every_rank(testing::broadcast_reaches_everyone_from_any_root);
}
TEST_P(InProcessCommunicatorTest, ExchangeGoesBothWaysAtOnce) {
  on_every_rank(testing::exchange_goes_both_ways_at_once);
}
TEST_P(InProcessCommunicatorTest, MixedSequenceAgrees) {
  on_every_rank(testing::mixed_sequence_agrees);
}

INSTANTIATE_TEST_SUITE_P(Ranks, InProcessCommunicatorTest, ::testing::Values(1, 2, 3, 4, 7));

TEST(InProcessCommunicatorAbortTest, WakesThePeersWithTheFailedRanksWords) {
  auto ranks = make_in_process_communicators(2);
  Result<void> seen;
  {
    std::jthread waiting([&] {
      std::vector<std::byte> buffer(8);
      seen = ranks[0]->exchange(0, {}, 1, buffer);
    });
    ranks[1]->abort("out of memory");
  }
  ASSERT_FALSE(seen.ok());
  EXPECT_EQ(seen.error().code, ErrorCode::kWorker);
  EXPECT_EQ(seen.error().message, "rank 1: out of memory");
}

TEST(ShardOfTest, ShardsAreContiguousAndCoverEverything) {
  for (std::int64_t elements : {0, 1, 5, 64, 1001}) {
    for (int shards = 1; shards <= 9; ++shards) {
      std::int64_t at = 0;
      for (int s = 0; s < shards; ++s) {
        const ShardRange range = shard_of(elements, s, shards);
        EXPECT_EQ(range.begin, at);
        EXPECT_LE(range.end - range.begin, (elements + shards - 1) / shards);
        at = range.end;
      }
      EXPECT_EQ(at, elements);
    }
  }
}

}  // namespace
}  // namespace pluto
