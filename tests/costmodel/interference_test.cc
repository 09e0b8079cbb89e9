#include "costmodel/interference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "base/document.h"
#include "costmodel/sources.h"
#include "costmodel/transformer_costs.h"
#include "plan/catalog.h"
#include "tests/support/temporary_folder.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;

const std::string kData = std::string(PLUTO_SOURCE_DIR) + "/data";

const InterferenceTable& shipped() {
  static const auto kTable = load_interference(kData + "/interference.json");
  return kTable.value();
}

NodeSpec node_of(const std::string& device) {
  const auto catalog = Catalog::load(kData + "/catalog");
  EXPECT_TRUE(catalog.ok());
  NodeSpec node;
  node.device = catalog->device(device).value();
  node.devices = 8;
  node.intra = {"NVLink3", Seconds(3e-6), BytesPerSecond(300e9), 1, 0};
  node.network = {"InfiniBand", Seconds(1e-5), BytesPerSecond(25e9), 8, 0};
  return node;
}

TEST(Interference, IsWhatWasMeasuredOnTheGeneration) {
  CollectiveCost cost;
  shipped().apply(BesideStream::kCollective, node_of("A100 SXM 40GB"), 1, cost);
  EXPECT_NEAR(1 / (1 - cost.cpu_share), 1.2856, 1e-12);
  EXPECT_NEAR(1 / cost.beside_compute, 1.0393, 1e-12);
  EXPECT_EQ(cost.sharing_evidence, Evidence::kCalibrated);
  CollectiveCost copy;
  shipped().apply(BesideStream::kToHost, node_of("A100 SXM 40GB"), 1, copy);
  EXPECT_LT(copy.cpu_share, 0.1 * cost.cpu_share);
}

TEST(Interference, OfAnUnmeasuredGenerationIsAssumed) {
  CollectiveCost cost;
  shipped().apply(BesideStream::kCollective, node_of("P100 SXM2"), 1, cost);
  EXPECT_GT(cost.cpu_share, 0.1);
  EXPECT_EQ(cost.sharing_evidence, Evidence::kAssumed);
  EXPECT_GT(cost.sharing_spread, shipped().generations.at("Ampere").spread);
}

TEST(Interference, AcrossNodesKeepsTheMultiprocessorsOfItsChannels) {
  NodeSpec node = node_of("A100 SXM 40GB");
  CollectiveCost one, eight, inside;
  shipped().apply(BesideStream::kCollective, node, 2, one);
  EXPECT_NEAR(one.cpu_share, 2.0 / 108, 1e-12);
  node.network.interfaces = 8;
  shipped().apply(BesideStream::kCollective, node, 2, eight);
  EXPECT_NEAR(eight.cpu_share, 16.0 / 108, 1e-12);
  shipped().apply(BesideStream::kCollective, node, 1, inside);
  EXPECT_GT(inside.cpu_share, eight.cpu_share);
}

// The closed form of transformers loses so much per second of communication under compute; it was
// fitted to training steps, the pairs to streams.
TEST(Interference, AgreesWithTheClosedFormOfTransformers) {
  const auto closed = TransformerCostTable::load(kData + "/transformer.json");
  ASSERT_TRUE(closed.ok());
  for (const char* name : {"A100 SXM 80GB", "H100 SXM"}) {
    const NodeSpec node = node_of(name);
    const auto& known = shipped().of(node.device);
    const double lost = known.beside[0].lost_per_second();
    const double fitted = closed->costs_for(node.device)[TransformerConstant::kOverlapSlowdown];
    EXPECT_LT(std::abs(std::log(lost / fitted)), known.spread) << name << " " << lost;
  }
}

// Both prices of a collective on a GPU: where nothing is stated the table, else the cluster.
TEST(Interference, AStatedShareOfALinkWins) {
  const auto source = make_roofline_source(kData + "/efficiency.json");
  ASSERT_TRUE(source.ok());
  ClusterSpec cluster;
  cluster.instance.node = node_of("A100 SXM 40GB");
  const CollectiveCall call{CollectiveKind::kAllReduce, Bytes(1 << 24), 8, 8};
  EXPECT_NEAR((*source)->collective(call, cluster).cpu_share, 1 - 1 / 1.2856, 1e-12);
  cluster.instance.node.intra.cpu_share = 0.4;
  EXPECT_EQ((*source)->collective(call, cluster).cpu_share, 0.4);
  cluster.instance.node.device.kind = DeviceKind::kCpu;
  cluster.instance.node.intra.cpu_share = 0;
  EXPECT_EQ((*source)->collective(call, cluster).cpu_share, 0) << "of processors it is measured";
}

TEST(Interference, FilesWithFactorsBelowOneAreRefused) {
  const testing::TemporaryFolder folder;
  std::string text = read_file(kData + "/interference.json").value();
  const auto at = text.find("1.0393");
  ASSERT_NE(at, std::string::npos);
  text.replace(at, 6, "0.9999");
  const auto wrong = load_interference(folder.write("interference.json", text));
  ASSERT_FALSE(wrong.ok());
  EXPECT_THAT(wrong.error().message, HasSubstr("collective"));
  EXPECT_FALSE(load_interference(folder.file("none.json")).ok());
}

}  // namespace
}  // namespace pluto
