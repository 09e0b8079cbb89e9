#include "costmodel/collective_time.h"

#include <gtest/gtest.h>

#include "tests/support/table_costs.h"

namespace pluto {
namespace {

using testing::test_cluster;

double seconds(CollectiveKind kind, std::int64_t bytes, int ranks, int servers,
               const ClusterSpec& cluster) {
  return collective_time({kind, Bytes(bytes), ranks, servers}, cluster, false).total().value();
}

TEST(CollectiveTime, OneRankCommunicatesNothing) {
  const auto cluster = test_cluster(1, 1);
  for (const auto kind : {CollectiveKind::kAllReduce, CollectiveKind::kReduceScatter,
                          CollectiveKind::kAllGather, CollectiveKind::kBroadcast}) {
    EXPECT_EQ(seconds(kind, 1 << 20, 1, 1, cluster), 0);
    EXPECT_EQ(bytes_per_direction({kind, Bytes(1 << 20), 1, 1}), 0);
  }
}

TEST(CollectiveTime, RingHasTwoTimesRanksMinusOneMessagesOfAChunk) {
  const auto cluster = test_cluster(1, 4, 1e-5, 1e9);
  // 2 * 3 messages of 4e6 / 4 bytes
  EXPECT_DOUBLE_EQ(seconds(CollectiveKind::kAllReduce, 4'000'000, 4, 4, cluster),
                   6 * (1e-5 + 1e-3));
}

TEST(CollectiveTime, RingAcrossNodesIsBoundByTheSlowerEdge) {
  auto cluster = test_cluster(2, 4, 1e-6, 1e10);
  cluster.instance.node.network = {"slow", Seconds(1e-4), BytesPerSecond(1e8), 4, 0};
  // Eight ranks, one of each node sends across: the interface is not shared.
  EXPECT_DOUBLE_EQ(seconds(CollectiveKind::kAllReduce, 8'000'000, 8, 8, cluster),
                   14 * (1e-4 + 1e-2));
  std::swap(cluster.instance.node.network, cluster.instance.node.intra);
  // The shared link inside is now the slow one.
  EXPECT_DOUBLE_EQ(seconds(CollectiveKind::kAllReduce, 8'000'000, 8, 8, cluster),
                   14 * (1e-4 + 4e-2));
}

TEST(CollectiveTime, OwnersReceiveOneShardOfEveryOtherRank) {
  const auto cluster = test_cluster(8, 1, 1e-5, 1e9);
  EXPECT_DOUBLE_EQ(seconds(CollectiveKind::kReduceScatter, 8'000'000, 8, 8, cluster),
                   7 * (1e-5 + 1e-3));
  EXPECT_DOUBLE_EQ(seconds(CollectiveKind::kReduceScatter, 8'000'000, 8, 2, cluster),
                   7 * (1e-5 + 4e-3));
  EXPECT_DOUBLE_EQ(seconds(CollectiveKind::kAllGather, 8'000'000, 8, 2, cluster),
                   seconds(CollectiveKind::kReduceScatter, 8'000'000, 8, 2, cluster));
}

TEST(CollectiveTime, DirectMessagesShareTheInterfaceOfTheNode) {
  auto cluster = test_cluster(2, 2, 0, 1e9);
  cluster.instance.node.network.shared_by = 2;
  // Distances 1, 2, 3 of four ranks on two nodes: 1, 2 and 1 ranks of a node reach across.
  EXPECT_DOUBLE_EQ(seconds(CollectiveKind::kAllGather, 4'000'000, 4, 4, cluster),
                   (1 + 2 + 1) * 1e-3);
  cluster.instance.node.network.shared_by = 1;
  EXPECT_DOUBLE_EQ(seconds(CollectiveKind::kAllGather, 4'000'000, 4, 4, cluster), 3e-3);
  // With one owner per node only one message crosses at a time.
  cluster.instance.node.network.shared_by = 2;
  EXPECT_DOUBLE_EQ(seconds(CollectiveKind::kAllGather, 4'000'000, 4, 2, cluster), 3 * 2e-3);
}

TEST(CollectiveTime, PushAndPullOverAllRanksMoveWhatARingMoves) {
  for (const int ranks : {2, 3, 8, 64}) {
    const CollectiveCall ring{CollectiveKind::kAllReduce, Bytes(1 << 24), ranks, ranks};
    const CollectiveCall push{CollectiveKind::kReduceScatter, Bytes(1 << 24), ranks, ranks};
    const CollectiveCall pull{CollectiveKind::kAllGather, Bytes(1 << 24), ranks, ranks};
    EXPECT_DOUBLE_EQ(bytes_per_direction(ring),
                     bytes_per_direction(push) + bytes_per_direction(pull));
  }
}

TEST(CollectiveTime, VolumesAreThoseOfPoseidonsTable) {
  // Zhang et al. 2017, table 1, counts parameters in both directions: PS 2MN (P1+P2-2)/P2 for a
  // worker that is also a server, SFB 2K(P1-1)(M+N).
  const double m = 4096, n = 1000, k = 32, p = 8;
  const auto gradient = Bytes(static_cast<std::int64_t>(m * n * 4));
  const double push = bytes_per_direction({CollectiveKind::kReduceScatter, gradient, 8, 8});
  const double pull = bytes_per_direction({CollectiveKind::kAllGather, gradient, 8, 8});
  EXPECT_DOUBLE_EQ((push + pull) * 2 / 4, 2 * m * n * (p + p - 2) / p);
  const auto factors = Bytes(static_cast<std::int64_t>(p * k * (m + n) * 4));
  const double gather = bytes_per_direction({CollectiveKind::kAllGather, factors, 8, 8});
  EXPECT_DOUBLE_EQ(gather * 2 / 4, 2 * k * (p - 1) * (m + n));
}

TEST(CollectiveTime, MoreBandwidthIsNeverSlowerAndMoreBytesNeverFaster) {
  for (const auto kind : {CollectiveKind::kAllReduce, CollectiveKind::kReduceScatter,
                          CollectiveKind::kAllGather, CollectiveKind::kBroadcast}) {
    for (const int devices : {1, 2, 3, 8}) {
      for (const int ranks : {2, 3, 7, 16, 33}) {
        for (const int servers : {1, 2, ranks}) {
          auto slow = test_cluster((ranks + devices - 1) / devices, devices, 1e-6, 1e9);
          slow.instance.node.network.shared_by = devices;
          auto fast = slow;
          fast.instance.node.network.bandwidth = BytesPerSecond(2e9);
          EXPECT_LE(seconds(kind, 1 << 20, ranks, servers, fast),
                    seconds(kind, 1 << 20, ranks, servers, slow));
          fast.instance.node.intra.bandwidth = BytesPerSecond(2e9);
          EXPECT_LT(seconds(kind, 1 << 20, ranks, servers, fast),
                    seconds(kind, 1 << 20, ranks, servers, slow));
          EXPECT_LT(seconds(kind, 1 << 20, ranks, servers, slow),
                    seconds(kind, 1 << 21, ranks, servers, slow));
        }
      }
    }
  }
}

TEST(CollectiveTime, SharedDistancesAreWhatCountingRankByRankGives) {
  // Oracle: walk every distance and every rank of the communicator's algorithm.
  for (const int devices : {1, 2, 3, 4}) {
    for (const int nodes : {2, 3, 5}) {
      const int ranks = devices * nodes;
      auto cluster = test_cluster(nodes, devices, 0, 1e9);
      cluster.instance.node.network.shared_by = devices;
      cluster.instance.node.intra.bandwidth = BytesPerSecond(1e15);
      double expected = 0;
      for (int distance = 1; distance < ranks; ++distance) {
        int across = 0;
        for (int rank = 0; rank < devices; ++rank) {
          if (((rank + distance) % ranks) / devices != 0) ++across;
        }
        expected += across * 1e-3;
      }
      EXPECT_NEAR(seconds(CollectiveKind::kAllGather, 1'000'000 * ranks, ranks, ranks, cluster),
                  expected, 1e-12)
          << devices << " devices, " << nodes << " nodes";
    }
  }
}

TEST(CollectiveTime, SumsCostMemoryTrafficOnTheOwner) {
  const auto cluster = test_cluster(1, 4);
  const CollectiveCall push{CollectiveKind::kReduceScatter, Bytes(4'000'000), 4, 2};
  const auto with = collective_time(push, cluster, true).total();
  const auto without = collective_time(push, cluster, false).total();
  EXPECT_NEAR((with - without).value(), 3.0 * 3 * 2'000'000 / 1e11, 1e-12);
  const CollectiveCall pull{CollectiveKind::kAllGather, Bytes(4'000'000), 4, 2};
  EXPECT_EQ(collective_time(pull, cluster, true).total(),
            collective_time(pull, cluster, false).total());
}

TEST(CollectiveTime, BroadcastTakesLogarithmicallyManyRounds) {
  const auto cluster = test_cluster(1, 64, 1e-6, 1e9);
  EXPECT_DOUBLE_EQ(seconds(CollectiveKind::kBroadcast, 1000, 2, 2, cluster), 1 * (1e-6 + 1e-6));
  EXPECT_DOUBLE_EQ(seconds(CollectiveKind::kBroadcast, 1000, 33, 33, cluster), 6 * (1e-6 + 1e-6));
}

TEST(CollectiveTime, RanksFillNodesInOrder) {
  const auto cluster = test_cluster(4, 8);
  EXPECT_EQ(placement_of(cluster, 3).per_node, 3);
  EXPECT_EQ(placement_of(cluster, 3).nodes, 1);
  EXPECT_EQ(placement_of(cluster, 8).nodes, 1);
  EXPECT_EQ(placement_of(cluster, 9).nodes, 2);
  EXPECT_EQ(placement_of(cluster, 9).per_node, 8);
}

}  // namespace
}  // namespace pluto
