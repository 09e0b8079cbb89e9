#include "plan/cluster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/sample_documents.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;

TEST(ClusterTest, CountsDevicesAndMoney) {
  const ClusterSpec cluster = testing::sample_plan().cluster;
  EXPECT_EQ(cluster.devices(), 16);
  EXPECT_DOUBLE_EQ(cluster.price().value(), 2 * 21.957642);
}

TEST(ClusterTest, NetworkBindsOnlyAcrossNodes) {
  const ClusterSpec cluster = testing::sample_plan().cluster;
  EXPECT_EQ(cluster.bottleneck(2).name, "NVLink3");
  EXPECT_EQ(cluster.bottleneck(8).name, "NVLink3");
  EXPECT_EQ(cluster.bottleneck(9).name, "400 Gb/s EFA");
}

TEST(ClusterTest, JsonReadsBackAsTheSameCluster) {
  ClusterSpec cluster = testing::sample_plan().cluster;
  const auto round_trip = [&] {
    const Value document = *parse_json(to_json(to_value(cluster)), "c.json");
    return cluster_from_value(document, "c.json");
  };
  ASSERT_TRUE(round_trip().ok()) << round_trip().error().message;
  EXPECT_EQ(*round_trip(), cluster);
  cluster.instance.spot_price.reset();
  cluster.instance.node.device.kind = DeviceKind::kCpu;
  cluster.instance.node.device.peak.clear();
  EXPECT_EQ(*round_trip(), cluster);
  cluster.instance.node.network.interfaces = 4;
  auto& device = cluster.instance.node.device;
  device.generation = "Ampere";
  device.multiprocessors = 108;
  device.cache = Bytes(40'000'000);
  device.tf32_peak = FlopsPerSecond(156e12);
  device.f8_peak = FlopsPerSecond(624e12);
  EXPECT_EQ(*round_trip(), cluster);
  const Value instance = *parse_json(to_json(to_value(cluster.instance)), "i.json");
  EXPECT_EQ(*instance_from_value(instance, "i.json"), cluster.instance);
}

TEST(ClusterTest, MalformedClustersAreRefusedWithTheirPlace) {
  const std::string good = to_json(to_value(testing::sample_plan().cluster), true);
  const struct {
    const char* from;
    const char* to;
    const char* message;
  } cases[] = {
      {R"("kind":"gpu")", R"("kind":"tpu")",
       "c.json:1: instance.node.device.kind: unknown kind of device \"tpu\""},
      {R"("bf16":)", R"("fp4":)", "instance.node.device.peak_flops_per_s.fp4: "},
      {R"("memory_bytes":40000000000)", R"("memory_bytes":4.5)",
       "instance.node.device.memory_bytes: 4.5: expected a whole number"},
      {R"("devices":8)", R"("devices":80000000000)",
       "instance.node.devices: 80000000000 is out of"},
      {R"("shared_by":8)", R"("shared":8)", "instance.node.network.shared_by: missing"},
      {R"("cpu_share":0.25)", R"("cpu_share":0.25,"colour":1)",
       "instance.node.network.colour: unknown key"},
      {R"("cpu_share":0.25)", R"("cpu_share":0.25,"interfaces":0)",
       "instance.node.network.interfaces: must be in 1..1024"},
      {R"("nodes":2)", R"("nodes":null)", "nodes: expected a whole number"},
      {R"("price_date":)", R"("date":)", "instance.price_date: missing"},
  };
  for (const auto& bad : cases) {
    SCOPED_TRACE(bad.to);
    std::string text = good;
    ASSERT_NE(text.find(bad.from), std::string::npos);
    text.replace(text.find(bad.from), std::string(bad.from).size(), bad.to);
    const Value document = *parse_json(text, "c.json");
    const auto cluster = cluster_from_value(document, "c.json");
    ASSERT_FALSE(cluster.ok());
    EXPECT_EQ(cluster.error().code, ErrorCode::kInvalidInput);
    EXPECT_THAT(cluster.error().message, HasSubstr(bad.message));
  }
}

ClusterSpec mixed() {
  ClusterSpec cluster = testing::sample_plan().cluster;
  NodeGroup slow{cluster.instance, 3};
  slow.instance.name = "test:slow";
  slow.instance.node.devices = 2;
  slow.instance.node.network.bandwidth = BytesPerSecond(1e6);
  slow.instance.price = DollarsPerHour(0.5);
  cluster.more = {slow};
  return cluster;
}

TEST(ClusterTest, GroupsOfNodesAddUp) {
  const ClusterSpec cluster = mixed(), first = testing::sample_plan().cluster;
  EXPECT_EQ(cluster.devices(), first.devices() + 6);
  EXPECT_NEAR(cluster.price().value(), first.price().value() + 1.5, 1e-12);
  const auto read = cluster_from_value(*parse_json(to_json(to_value(cluster)), "c.json"), "c.json");
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(*read, cluster);
}

TEST(ClusterTest, SpotNodesCostTheirSpotPriceWhereThereIsOne) {
  ClusterSpec cluster = mixed();
  cluster.instance.spot_price = DollarsPerHour(0.25);
  cluster.more.front().instance.spot_price.reset();
  const double on_demand = cluster.price().value();
  cluster.market = Market::kSpot;
  EXPECT_NEAR(cluster.price().value(), 0.25 * cluster.nodes + 1.5, 1e-12);
  EXPECT_LT(cluster.price().value(), on_demand);
  const auto read = cluster_from_value(*parse_json(to_json(to_value(cluster)), "c.json"), "c.json");
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(*read, cluster);
}

TEST(ClusterTest, EachGroupSeesTheSlowestLinks) {
  const ClusterSpec cluster = mixed();
  const auto views = views_by_group(cluster);
  ASSERT_EQ(views.size(), 2U);
  for (const ClusterSpec& view : views) {
    EXPECT_GE(view.devices(), cluster.devices());
    EXPECT_EQ(view.instance.node.network.bandwidth, BytesPerSecond(1e6));
  }
  EXPECT_EQ(views[0].instance.name, cluster.instance.name);
  EXPECT_EQ(views[1].instance.name, "test:slow");
  EXPECT_EQ(views_by_group(testing::sample_plan().cluster).size(), 1U);
}

TEST(ClusterTest, WordsOfDeviceKindsReadBack) {
  for (const auto kind : {DeviceKind::kCpu, DeviceKind::kGpu}) {
    EXPECT_EQ(*parse_device_kind(to_text(kind)), kind);
  }
}

}  // namespace
}  // namespace pluto
