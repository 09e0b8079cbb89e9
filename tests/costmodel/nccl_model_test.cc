#include "costmodel/nccl_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "base/document.h"
#include "tests/support/table_costs.h"
#include "tests/support/temporary_folder.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;
using testing::test_cluster;

const std::string kShipped = std::string(PLUTO_SOURCE_DIR) + "/data/nccl.json";

const NcclTable& shipped() {
  static const auto table = load_nccl(kShipped);
  EXPECT_TRUE(table.ok()) << table.error().message;
  return *table;
}

/// Nodes of 8 GPUs with the link `name` and one interface of 400 Gb/s per GPU.
ClusterSpec gpus(const std::string& name, double GBps, int nodes = 1, int devices = 8) {
  auto cluster = test_cluster(nodes, devices);
  const bool pcie = name.starts_with("PCIe");
  cluster.instance.node.intra = {name, Seconds(pcie ? 5.7e-6 : 3.4e-6), BytesPerSecond(GBps * 1e9),
                                 1, 0};
  cluster.instance.node.network = {
      "400 Gb/s InfiniBand", Seconds(14e-6), BytesPerSecond(50e9 * devices), devices, 0, devices};
  return cluster;
}

double us(CollectiveKind kind, double bytes, int ranks, const ClusterSpec& cluster) {
  return 1e6 * nccl_time({kind, Bytes(std::llround(bytes)), ranks, ranks}, cluster, shipped())
                   .time.value();
}

TEST(NcclModel, MeasuredNodesComeOut) {
  // Microseconds of data/measured/collectives.csv; one size per regime and system. The tolerance is
  // about three times the median error of the fit.
  struct Case {
    CollectiveKind kind;
    double bytes;
    int ranks;
    const char* link;
    double GBps, measured;
  };
  const auto all = CollectiveKind::kAllReduce;
  const Case cases[] = {
      {all, 536870912, 8, "NVLink2", 150, 7040},  // 1006632960 bytes: 13088
      {all, 536870912, 8, "NVLink3", 300, 4225.9},
      {all, 65536, 8, "NVLink3", 300, 28.06},
      {all, 512, 2, "NVLink3", 300, 9.98},
      {all, 536870912, 4, "NVLink4", 450, 2299.7},
      {all, 536870912, 8, "NVLink4", 450, 2111.1},  // sums in the switch
      {all, 4096, 4, "NVLink4", 450, 9.77},
      {all, 536870912, 8, "NVLink5", 900, 1334.6},
      {CollectiveKind::kAllGather, 536870912, 8, "NVLink4", 450, 1401.5},
      {CollectiveKind::kReduceScatter, 1048576, 4, "NVLink5", 900, 14.16},
      {CollectiveKind::kAllToAll, 536870912, 8, "NVLink5", 900, 834.2},
  };
  for (const auto& one : cases) {
    const double predicted = us(one.kind, one.bytes, one.ranks, gpus(one.link, one.GBps));
    EXPECT_NEAR(predicted / one.measured, 1, 0.16)
        << to_text(one.kind) << " " << one.bytes << " on " << one.ranks << " over " << one.link;
  }
}

TEST(NcclModel, ACubeMeshHasAsManyRingsAsItsLinksAllow) {
  // V100: 2 neighbours share one link of six, four GPUs make four rings, five none (a tree).
  const auto mesh = gpus("NVLink2", 150);
  const auto time = [&](int ranks) {
    return us(CollectiveKind::kAllReduce, 1 << 30, ranks, mesh) * ranks / (2.0 * (ranks - 1));
  };
  EXPECT_NEAR(time(2) / time(3), 2, 0.1);
  EXPECT_NEAR(time(2) / time(8), 6, 0.6);
  EXPECT_GT(time(5), time(4));
  // The same links through a switch are all there for two.
  const auto switched = gpus("NVLink2 + NVSwitch", 150);
  EXPECT_LT(us(CollectiveKind::kAllReduce, 1 << 30, 2, switched),
            us(CollectiveKind::kAllReduce, 1 << 30, 2, mesh) / 4);
}

TEST(NcclModel, ChoosesProtocolsBySizeAndAlgorithmsBySpan) {
  const auto choice = [](std::int64_t bytes, int ranks, const ClusterSpec& cluster) {
    return nccl_time({CollectiveKind::kAllReduce, Bytes(bytes), ranks, ranks}, cluster, shipped());
  };
  const auto node = gpus("NVLink4", 450);
  EXPECT_EQ(choice(1024, 4, node).protocol, NcclProtocol::kLL);
  EXPECT_EQ(choice(512 << 10, 4, node).protocol, NcclProtocol::kLL128);
  EXPECT_EQ(choice(1 << 30, 4, node).protocol, NcclProtocol::kSimple);
  EXPECT_EQ(choice(1 << 30, 4, node).algorithm, NcclAlgorithm::kRing);
  EXPECT_EQ(choice(1 << 30, 8, node).algorithm, NcclAlgorithm::kNvls);
  const auto many = gpus("NVLink4", 450, 64);
  EXPECT_EQ(choice(64 << 10, 512, many).algorithm, NcclAlgorithm::kTree);
  EXPECT_EQ(choice(std::int64_t{8} << 30, 16, many).algorithm, NcclAlgorithm::kRing);
}

TEST(NcclModel, StepsAcrossNodesAreNccls) {
  // Two nodes of one GPU, LL: base + 2 steps of 2.7 us, 1 KiB at half of 0.95 of 50 GB/s.
  const auto pair = gpus("NVLink4", 450, 2, 1);
  const double wire = 1024.0 / (0.5 * 0.95 * 50e9) * 1e6;
  EXPECT_NEAR(us(CollectiveKind::kAllReduce, 1024, 2, pair), 4.49 + 2 * 2.7 + wire, 1e-6);
  // A large buffer takes 2 (P-1)/P n over the interfaces of a node.
  const auto two = gpus("NVLink4", 450, 2);
  EXPECT_NEAR(us(CollectiveKind::kAllReduce, 8e9, 16, two),
              8e9 * 2 * 15 / 16 / (0.95 * 400e9) * 1e6, 0.07 * 8e9 * 2 / (0.95 * 400e9) * 1e6);
}

TEST(NcclModel, ReportsOfTestsAcrossNodesComeOut) {
  // NVIDIA/nccl-tests issue 119: three nodes of eight A100 and four 200 Gb/s InfiniBand cards.
  auto three = gpus("NVLink3", 300, 3);
  three.instance.node.network = {"HDR", Seconds(14e-6), BytesPerSecond(100e9), 8, 0, 4};
  EXPECT_NEAR(us(CollectiveKind::kAllReduce, 33554440, 24, three) / 732.9, 1, 0.12);
  EXPECT_NEAR(us(CollectiveKind::kAllReduce, 23068680, 24, three) / 518.4, 1, 0.12);
  // Issue 252: busbw / algbw is that of 8 GPUs, 24 GB/s per card that of four of 200 Gb/s. Assumed:
  // two nodes of four H100.
  auto two = gpus("NVLink4", 450, 2, 4);
  two.instance.node.network = {"HDR", Seconds(14e-6), BytesPerSecond(100e9), 4, 0, 4};
  EXPECT_NEAR(us(CollectiveKind::kAllReduce, 536870912, 8, two) / 10052, 1, 0.05);
  EXPECT_NEAR(us(CollectiveKind::kAllReduce, 8589934592, 8, two) / 158070, 1, 0.05);
}

TEST(NcclModel, GroupsShareTheInterfacesOfANode) {
  const auto cluster = gpus("NVLink3", 300, 4);
  CollectiveCall call{CollectiveKind::kAllReduce, Bytes(1 << 30), 4, 4};
  call.per_node = 1;
  const double alone = nccl_time(call, cluster, shipped()).time.value();
  call.groups = 8;
  const double crowded = nccl_time(call, cluster, shipped()).time.value();
  // Eight interfaces: each group has one, alone or not.
  EXPECT_NEAR(crowded / alone, 1, 1e-9);
  auto narrow = cluster;
  narrow.instance.node.network.interfaces = 1;
  EXPECT_DOUBLE_EQ(nccl_time(call, narrow, shipped()).time.value(), crowded);
  call.groups = 1;
  EXPECT_LT(nccl_time(call, narrow, shipped()).time.value(), crowded / 4);
}

TEST(NcclModel, ASendIsOneWayAndStaysWhereItIs) {
  const auto cluster = gpus("NVLink3", 300, 2);
  CollectiveCall send{CollectiveKind::kSend, Bytes(1 << 26), 2, 2};
  const double inside = nccl_time(send, cluster, shipped()).time.value();
  EXPECT_LT(inside, us(CollectiveKind::kAllReduce, 1 << 26, 2, cluster) * 1e-6);
  send.per_node = 1;
  const double across = nccl_time(send, cluster, shipped()).time.value();
  EXPECT_GT(across, (1 << 26) / 50e9);
  EXPECT_LT(across, 1.5 * (1 << 26) / (0.95 * 50e9));
}

TEST(NcclModel, SaysWhatItWasFittedTo) {
  const auto fitted = [](const ClusterSpec& cluster, int ranks) {
    return nccl_time({CollectiveKind::kAllReduce, Bytes(1 << 20), ranks, ranks}, cluster, shipped())
        .fitted;
  };
  EXPECT_TRUE(fitted(gpus("NVLink4", 450), 8));
  EXPECT_TRUE(fitted(gpus("PCIe3", 16), 8));
  EXPECT_FALSE(fitted(gpus("NVLink4", 450, 2), 16));
  EXPECT_FALSE(fitted(gpus("NVLink1", 80), 8));
  EXPECT_FALSE(fitted(gpus("XGMI", 448), 8));
  EXPECT_EQ(&shipped().of("XGMI"), &shipped().links.at(shipped().other));
  EXPECT_EQ(&shipped().of("NVLink2 + NVSwitch (assumed)"),
            &shipped().links.at("NVLink2 + NVSwitch"));
}

TEST(NcclModel, BetterLinksAreNeverSlowerAndMoreBytesNeverFaster) {
  for (const auto kind :
       {CollectiveKind::kAllReduce, CollectiveKind::kReduceScatter, CollectiveKind::kAllGather,
        CollectiveKind::kBroadcast, CollectiveKind::kAllToAll, CollectiveKind::kSend}) {
    for (const char* link : {"PCIe4", "NVLink2", "NVLink4", "XGMI"}) {
      for (const int devices : {1, 4, 8}) {
        for (const int nodes : {1, 2, 16}) {
          for (const double bytes : {256.0, 1e5, 3e6, 1e8}) {
            const int ranks = kind == CollectiveKind::kSend ? 2 : devices * nodes;
            if (ranks < 2) continue;
            const auto slow = gpus(link, 64, nodes, devices);
            const double time = us(kind, bytes, ranks, slow);
            EXPECT_GT(time, 0);
            auto fast = slow;
            fast.instance.node.intra.bandwidth = BytesPerSecond(200e9);
            EXPECT_LE(us(kind, bytes, ranks, fast), time);
            fast.instance.node.network.bandwidth = BytesPerSecond(800e9);
            EXPECT_LE(us(kind, bytes, ranks, fast), time);
            fast = slow;
            fast.instance.node.intra.alpha = fast.instance.node.network.alpha = Seconds(1e-6);
            EXPECT_LT(us(kind, bytes, ranks, fast), time);
            EXPECT_GT(us(kind, bytes * 1.5, ranks, slow), time);
          }
        }
      }
    }
  }
}

auto load_replaced(const std::string& from, const std::string& to) {
  auto text = read_file(kShipped);
  EXPECT_TRUE(text.ok());
  const auto at = text->find(from);
  EXPECT_NE(at, std::string::npos) << from;
  text->replace(at, from.size(), to);
  const testing::TemporaryFolder folder;
  return load_nccl(folder.write("nccl_model_test.json", *text));
}

TEST(NcclModel, AMissingFileIsNotFound) {
  const auto table = load_nccl("/nowhere/nccl.json");
  ASSERT_FALSE(table.ok());
  EXPECT_EQ(table.error().code, ErrorCode::kNotFound);
}

TEST(NcclModel, WrongTablesAreRefusedWithTheirLine) {
  const auto message = [](const std::string& from, const std::string& to) {
    const auto table = load_replaced(from, to);
    EXPECT_FALSE(table.ok()) << from;
    return table.ok() ? std::string() : table.error().message;
  };
  EXPECT_THAT(message("\"bandwidth\": 0.423", "\"bandwidth\": 42"),
              ::testing::AllOf(HasSubstr("nccl_model_test.json:6"),
                               HasSubstr("protocols.ll128.bandwidth")));
  EXPECT_THAT(message("\"base_us\": 8.51", "\"base_us\": -1"), HasSubstr("links.NVLink3.base_us"));
  EXPECT_THAT(message("[1, 0.25,", "[1, 2,"), HasSubstr("links.NVLink1.rings"));
  EXPECT_THAT(message("\"other\": \"NVLink3\"", "\"other\": \"NVLink9\""), HasSubstr("NVLink9"));
  EXPECT_THAT(message("\"step_us\"", "\"step\""), HasSubstr("step_us"));
  EXPECT_THAT(message("\"nvls\": {\"start_us\"", "\"nvls\": {\"more\": 1, \"start_us\""),
              HasSubstr("more"));
  EXPECT_THAT(message("\"schema\": 1", "\"schema\": 2"), HasSubstr("schema"));
}

}  // namespace
}  // namespace pluto
