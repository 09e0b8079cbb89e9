// Runs under mpirun: every rank runs every test, in the same order.

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <memory>

#include "runtime/communicator.h"
#include "tests/support/communicator_contract.h"

namespace pluto {
namespace {

std::unique_ptr<Communicator>& world() {
  static std::unique_ptr<Communicator> communicator;
  return communicator;
}

TEST(MpiCommunicatorTest, WorldHasTheLaunchedSize) {
  const char* expected = std::getenv("PLUTO_TEST_RANKS");
  ASSERT_NE(expected, nullptr);
  EXPECT_EQ(world()->size(), std::atoi(expected));
  EXPECT_EQ(world()->transport(), "mpi");
}
TEST(MpiCommunicatorTest, AllReduceSums) { testing::all_reduce_sums(*world()); }
TEST(MpiCommunicatorTest, ShardsReduceToTheirOwnersAndComeBack) {
  testing::shards_reduce_to_their_owners_and_come_back(*world());
}
TEST(MpiCommunicatorTest, AllGatherKeepsRankOrder) {
  testing::all_gather_keeps_rank_order(*world());
}
TEST(MpiCommunicatorTest, BroadcastReachesEveryoneFromAnyRoot) {
  testing::broadcast_reaches_everyone_from_any_root(*world());
}
TEST(MpiCommunicatorTest, ExchangeGoesBothWaysAtOnce) {
  testing::exchange_goes_both_ways_at_once(*world());
}
TEST(MpiCommunicatorTest, MixedSequenceAgrees) { testing::mixed_sequence_agrees(*world()); }

}  // namespace
}  // namespace pluto

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  auto world = pluto::make_mpi_communicator();
  if (!world.ok()) {
    std::fprintf(stderr, "%s\n", world.error().message.c_str());
    return 1;
  }
  pluto::world() = std::move(world).value();
  const int failures = RUN_ALL_TESTS();
  pluto::world().reset();
  return failures;
}
