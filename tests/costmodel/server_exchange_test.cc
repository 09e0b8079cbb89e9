#include "costmodel/server_exchange.h"

#include <gtest/gtest.h>

#include "costmodel/strategy_volume.h"
#include "tests/support/table_costs.h"

namespace pluto {
namespace {

using testing::test_cluster;

constexpr double kAlpha = 1e-5, kRate = 1e9;

CollectiveCall push(int ranks, int servers, int server_nodes, std::int64_t bytes = 8'000'000) {
  return {.kind = CollectiveKind::kReduceScatter,
          .bytes = Bytes(bytes),
          .ranks = ranks,
          .servers = servers,
          .server_nodes = server_nodes};
}
CollectiveCall with_kind(CollectiveCall call, CollectiveKind kind) {
  call.kind = kind;
  return call;
}
double seconds(const CollectiveCall& call, const ClusterSpec& cluster) {
  return collective_time(call, cluster, false).total().value();
}

TEST(ServerExchange, TheBusierPortSetsTheTime) {
  const auto cluster = test_cluster(12, 1, kAlpha, kRate);
  // 8 workers on 2 servers: each server takes 4 buffers. On 8 and on 16: a worker's own buffer.
  EXPECT_NEAR(seconds(push(8, 2, 2), cluster), 8 * kAlpha + 4 * 8e6 / kRate, 1e-12);
  EXPECT_NEAR(seconds(push(8, 8, 8), cluster), 8 * kAlpha + 8e6 / kRate, 1e-12);
  EXPECT_NEAR(seconds(push(8, 16, 16), cluster), 16 * kAlpha + 8e6 / kRate, 1e-12);
  const auto pull = with_kind(push(8, 2, 2), CollectiveKind::kAllGather);
  EXPECT_EQ(seconds(pull, cluster), seconds(push(8, 2, 2), cluster));
}

TEST(ServerExchange, RanksAndServersOfANodeShareItsInterface) {
  auto cluster = test_cluster(8, 4, kAlpha, kRate);
  cluster.instance.node.network.shared_by = 4;
  // Two nodes of workers; 4 servers on one node take 8 buffers through one interface, on 4 nodes
  // two each, where the 4 workers of a node are as slow.
  EXPECT_NEAR(seconds(push(8, 4, 1), cluster), 8 * kAlpha + 8 * 8e6 / kRate, 1e-12);
  EXPECT_NEAR(seconds(push(8, 4, 4), cluster), 8 * kAlpha + 4 * 8e6 / kRate, 1e-12);
}

TEST(ServerExchange, AddingUpTakesTheServersMemory) {
  const auto cluster = test_cluster(12, 1, kAlpha, kRate);
  const double added =
      collective_time(push(8, 2, 2), cluster).total().value() - seconds(push(8, 2, 2), cluster);
  EXPECT_NEAR(added, 3 * 4e6 * 7 / 1e11, 1e-12);
}

TEST(ServerExchange, AGatherMeetsAtOnePort) {
  const auto cluster = test_cluster(12, 1, kAlpha, kRate);
  CollectiveCall gather{.kind = CollectiveKind::kGather, .bytes = Bytes(8'000'000), .ranks = 8};
  EXPECT_NEAR(seconds(gather, cluster), 7 * (kAlpha + 1e6 / kRate), 1e-12);
  EXPECT_NEAR(seconds(gather, test_cluster(1, 8, kAlpha, kRate)), 7 * (kAlpha + 1e6 / kRate),
              1e-12);
  EXPECT_NEAR(seconds(gather, test_cluster(2, 4, kAlpha, kRate)), 4 * (kAlpha + 1e6 / kRate),
              1e-12);
  gather.server_nodes = 1;
  EXPECT_NEAR(seconds(gather, cluster), 8 * (kAlpha + 1e6 / kRate), 1e-12);
}

TEST(ServerExchange, OneRankSendsNothing) {
  const auto cluster = test_cluster(2, 1);
  EXPECT_EQ(seconds(push(1, 1, 1), cluster), 0);
  EXPECT_EQ(rank_volume(push(1, 1, 1)).both() + owner_volume(push(1, 1, 1)).both(), 0);
}

TEST(ServerExchange, MoreBandwidthAndMoreServersAreNeverSlower) {
  for (const int ranks : {2, 7, 16}) {
    double last = 1e300;
    for (const int servers : {1, 2, 4}) {
      const auto call = push(ranks, servers, servers);
      const double slow = seconds(call, test_cluster(32, 2, 0, kRate));
      EXPECT_LE(seconds(call, test_cluster(32, 2, 0, 2 * kRate)), slow);
      EXPECT_LE(slow, last);
      last = slow;
    }
  }
}

/// Parameters, both directions, of what a step exchanges: pushes and what comes back.
double parameters(const PortVolume& there, const PortVolume& back) {
  return (there.both() + back.both()) / 4;
}

TEST(ServerExchange, VolumesAreThoseOfPoseidonsTable) {
  constexpr double kRows = 4096, kColumns = 1000, kSamples = 32;
  const auto matrix = static_cast<std::int64_t>(4 * kRows * kColumns);
  const auto factors = static_cast<std::int64_t>(4 * kSamples * (kRows + kColumns));
  for (const int workers : {2, 8, 32}) {
    for (const int servers : {1, 2, workers}) {
      const MatrixExchange layer{kRows, kColumns, kSamples, double(workers), double(servers)};
      const auto table = parameter_server_volume(layer);
      const auto apart = push(workers, servers, servers, matrix);
      const auto back = with_kind(apart, CollectiveKind::kAllGather);
      EXPECT_DOUBLE_EQ(parameters(rank_volume(apart), rank_volume(back)), table.worker);
      EXPECT_DOUBLE_EQ(parameters(owner_volume(apart), owner_volume(back)), table.server);
      const auto together = push(workers, servers, 0, matrix);
      const auto pulled = with_kind(together, CollectiveKind::kAllGather);
      EXPECT_DOUBLE_EQ(parameters(owner_volume(together), owner_volume(pulled)), table.both);
    }
    const auto adam = adam_volume({kRows, kColumns, kSamples, double(workers), 1});
    CollectiveCall gather{
        .kind = CollectiveKind::kGather, .bytes = Bytes(workers * factors), .ranks = workers};
    const auto back = with_kind(push(workers, 1, 0, matrix), CollectiveKind::kAllGather);
    EXPECT_DOUBLE_EQ(parameters(owner_volume(gather), owner_volume(back)), adam.both);
    EXPECT_DOUBLE_EQ(parameters(rank_volume(gather), rank_volume(back)), adam.worker);
    gather.server_nodes = 1;
    const auto apart = with_kind(push(workers, 1, 1, matrix), CollectiveKind::kAllGather);
    EXPECT_DOUBLE_EQ(parameters(owner_volume(gather), owner_volume(apart)), adam.server);
  }
}

}  // namespace
}  // namespace pluto
