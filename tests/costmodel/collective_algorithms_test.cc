#include <gtest/gtest.h>

#include <cmath>

#include "costmodel/collective_time.h"
#include "tests/support/table_costs.h"

namespace pluto {
namespace {

using testing::test_cluster;

constexpr CollectiveAlgorithm kAlgorithms[] = {
    CollectiveAlgorithm::kRing, CollectiveAlgorithm::kTree, CollectiveAlgorithm::kHalvingDoubling,
    CollectiveAlgorithm::kRecursiveDoubling, CollectiveAlgorithm::kHierarchical};

CollectiveCall all_reduce(CollectiveAlgorithm algorithm, std::int64_t bytes, int ranks) {
  return {CollectiveKind::kAllReduce, Bytes(bytes), ranks, ranks, algorithm};
}

double seconds(const CollectiveCall& call, const ClusterSpec& cluster) {
  return collective_time(call, cluster, false).total().value();
}

TEST(CollectiveAlgorithms, OneRankIsFree) {
  const auto cluster = test_cluster(1, 8);
  for (const auto algorithm : kAlgorithms) {
    EXPECT_EQ(seconds(all_reduce(algorithm, 1 << 20, 1), cluster), 0);
    EXPECT_EQ(bytes_per_direction(all_reduce(algorithm, 1 << 20, 1)), 0);
  }
}

TEST(CollectiveAlgorithms, TwoRanksExchangeTheBufferOnce) {
  const auto cluster = test_cluster(1, 2, 1e-5, 1e9);
  const double once = 1e-5 + 4e-3, halves = 2 * (1e-5 + 2e-3);
  EXPECT_DOUBLE_EQ(seconds(all_reduce(CollectiveAlgorithm::kRing, 4'000'000, 2), cluster), halves);
  EXPECT_DOUBLE_EQ(
      seconds(all_reduce(CollectiveAlgorithm::kHalvingDoubling, 4'000'000, 2), cluster), halves);
  EXPECT_DOUBLE_EQ(
      seconds(all_reduce(CollectiveAlgorithm::kRecursiveDoubling, 4'000'000, 2), cluster), once);
  EXPECT_DOUBLE_EQ(seconds(all_reduce(CollectiveAlgorithm::kHierarchical, 4'000'000, 2), cluster),
                   halves);
}

TEST(CollectiveAlgorithms, ClosedFormsOfEightEqualRanks) {
  const double alpha = 1e-5, beta = 1e-9, n = 8e6;
  const auto cluster = test_cluster(8, 1, alpha, 1 / beta);
  const auto time = [&](CollectiveAlgorithm algorithm) {
    return seconds(all_reduce(algorithm, 8'000'000, 8), cluster);
  };
  EXPECT_NEAR(time(CollectiveAlgorithm::kRing), 14 * alpha + 2 * n * 7 / 8 * beta, 1e-12);
  EXPECT_NEAR(time(CollectiveAlgorithm::kHalvingDoubling), 6 * alpha + 2 * n * 7 / 8 * beta, 1e-12);
  EXPECT_NEAR(time(CollectiveAlgorithm::kRecursiveDoubling), 3 * (alpha + n * beta), 1e-12);
  EXPECT_NEAR(time(CollectiveAlgorithm::kHierarchical), time(CollectiveAlgorithm::kRing), 1e-12);
  // The best chunk of a pipeline of h stages: 2 (sqrt((h-1) alpha) + sqrt(n beta))^2; powers of two
  // come within a few per cent.
  const double best = 2 * std::pow(std::sqrt(2 * alpha) + std::sqrt(n * beta), 2);
  EXPECT_GE(time(CollectiveAlgorithm::kTree), best);
  EXPECT_LE(time(CollectiveAlgorithm::kTree), 1.03 * best);
}

TEST(CollectiveAlgorithms, RanksBeyondAPowerOfTwoFold) {
  const auto cluster = test_cluster(1, 8, 1e-5, 1e9);
  for (const auto algorithm :
       {CollectiveAlgorithm::kHalvingDoubling, CollectiveAlgorithm::kRecursiveDoubling}) {
    EXPECT_NEAR(seconds(all_reduce(algorithm, 1'000'000, 5), cluster) -
                    seconds(all_reduce(algorithm, 1'000'000, 4), cluster),
                2 * (1e-5 + 1e-3), 1e-12);
  }
}

TEST(CollectiveAlgorithms, FewHopsWinWhenThereIsLittleToSay) {
  const auto cluster = test_cluster(256, 1, 1e-5, 1e9);
  const auto time = [&](CollectiveAlgorithm algorithm, std::int64_t bytes) {
    return seconds(all_reduce(algorithm, bytes, 256), cluster);
  };
  EXPECT_LT(time(CollectiveAlgorithm::kTree, 1024), time(CollectiveAlgorithm::kRing, 1024) / 10);
  EXPECT_LT(time(CollectiveAlgorithm::kRecursiveDoubling, 1024),
            time(CollectiveAlgorithm::kHalvingDoubling, 1024));
  EXPECT_LT(time(CollectiveAlgorithm::kHalvingDoubling, 1 << 30),
            time(CollectiveAlgorithm::kRecursiveDoubling, 1 << 30) / 3);
}

TEST(CollectiveAlgorithms, HierarchyPaysWhenTheNetworkIsSlowAndShared) {
  // 8 nodes of 8; the network 100 times slower than the links inside, with 8 cards or with one.
  auto cluster = test_cluster(8, 8, 1e-6, 1e11);
  auto& network = cluster.instance.node.network;
  network = {"slow", Seconds(2e-5), BytesPerSecond(1e9), 8, 0};
  const auto ring = all_reduce(CollectiveAlgorithm::kRing, 1 << 26, 64);
  const auto levels = all_reduce(CollectiveAlgorithm::kHierarchical, 1 << 26, 64);
  EXPECT_LT(seconds(levels, cluster), seconds(ring, cluster));
  // Small buffers gain by the steps that stay inside.
  EXPECT_LT(seconds(all_reduce(CollectiveAlgorithm::kHierarchical, 1024, 64), cluster),
            seconds(all_reduce(CollectiveAlgorithm::kRing, 1024, 64), cluster) / 4);
  // A single ring reaches one card of eight, all ranks together reach all.
  network.interfaces = 8;
  EXPECT_GT(seconds(ring, cluster), 7 * seconds(levels, cluster));
}

TEST(CollectiveAlgorithms, GroupsOfANodeShareItsNetwork) {
  auto cluster = test_cluster(4, 8, 0, 1e9);
  cluster.instance.node.network.shared_by = 8;
  CollectiveCall call{CollectiveKind::kAllReduce, Bytes(4'000'000), 4, 4};
  call.per_node = 1;
  const double alone = seconds(call, cluster);
  EXPECT_DOUBLE_EQ(alone, 6 * 1e-3);
  call.groups = 8;
  EXPECT_DOUBLE_EQ(seconds(call, cluster), 8 * alone);
  // Eight cards: each group has its own, and no more when it is alone.
  cluster.instance.node.network.interfaces = 8;
  EXPECT_DOUBLE_EQ(seconds(call, cluster), 8 * alone);
  call.groups = 1;
  EXPECT_DOUBLE_EQ(seconds(call, cluster), 8 * alone);
}

TEST(CollectiveAlgorithms, SendAndAllToAll) {
  auto cluster = test_cluster(2, 4, 1e-5, 1e9);
  cluster.instance.node.network = {"slow", Seconds(1e-4), BytesPerSecond(1e8), 4, 0};
  CollectiveCall send{CollectiveKind::kSend, Bytes(1'000'000), 2, 2};
  EXPECT_DOUBLE_EQ(seconds(send, cluster), 1e-5 + 1e-3);
  send.per_node = 1;
  EXPECT_DOUBLE_EQ(seconds(send, cluster), 1e-4 + 1e-2);
  send.groups = 4;
  EXPECT_DOUBLE_EQ(seconds(send, cluster), 1e-4 + 4e-2);
  EXPECT_DOUBLE_EQ(bytes_per_direction(send), 1e6);
  // Three of four parts leave the rank, one after another.
  const CollectiveCall exchange{CollectiveKind::kAllToAll, Bytes(4'000'000), 4, 1};
  cluster.instance.node.intra.shared_by = 1;
  EXPECT_DOUBLE_EQ(seconds(exchange, cluster), 3 * (1e-5 + 1e-3));
  EXPECT_DOUBLE_EQ(bytes_per_direction(exchange), 3e6);
}

TEST(CollectiveAlgorithms, Volumes) {
  const auto bytes = [](CollectiveAlgorithm algorithm, int ranks) {
    return bytes_per_direction(all_reduce(algorithm, 1 << 24, ranks)) / (1 << 24);
  };
  for (const int ranks : {2, 8, 64}) {
    EXPECT_DOUBLE_EQ(bytes(CollectiveAlgorithm::kRing, ranks), 2.0 * (ranks - 1) / ranks);
    EXPECT_DOUBLE_EQ(bytes(CollectiveAlgorithm::kHalvingDoubling, ranks),
                     2.0 * (ranks - 1) / ranks);
    EXPECT_DOUBLE_EQ(bytes(CollectiveAlgorithm::kRecursiveDoubling, ranks), std::log2(ranks));
  }
  EXPECT_DOUBLE_EQ(bytes(CollectiveAlgorithm::kTree, 8), 2);
  auto levels = all_reduce(CollectiveAlgorithm::kHierarchical, 1 << 24, 32);
  levels.per_node = 8;
  EXPECT_DOUBLE_EQ(bytes_per_direction(levels) / (1 << 24), 2 * 7 / 8.0 + 2 / 8.0 * 3 / 4.0);
}

TEST(CollectiveAlgorithms, BetterLinksAreNeverSlowerAndMoreBytesNeverFaster) {
  for (const auto algorithm : kAlgorithms) {
    for (const int devices : {1, 3, 8}) {
      for (const int ranks : {2, 3, 7, 16, 33}) {
        auto slow = test_cluster((ranks + devices - 1) / devices, devices, 1e-6, 1e9);
        slow.instance.node.network.shared_by = devices;
        const auto call = all_reduce(algorithm, 1 << 20, ranks);
        const double time = seconds(call, slow);
        auto fast = slow;
        fast.instance.node.network.bandwidth = BytesPerSecond(3e9);
        EXPECT_LE(seconds(call, fast), time);
        fast = slow;
        fast.instance.node.network.alpha = fast.instance.node.intra.alpha = Seconds(1e-7);
        EXPECT_LT(seconds(call, fast), time);
        EXPECT_GT(seconds(all_reduce(algorithm, (1 << 20) + 1024, ranks), slow), time);
        auto alone = slow;
        alone.instance.node.network.shared_by = 1;
        EXPECT_LE(seconds(call, alone), time);
      }
    }
  }
}

TEST(CollectiveAlgorithms, HaveWords) {
  EXPECT_STREQ(to_text(CollectiveAlgorithm::kHalvingDoubling), "halving_doubling");
  EXPECT_STREQ(to_text(CollectiveAlgorithm::kHierarchical), "hierarchical");
}

}  // namespace
}  // namespace pluto
