#include "costmodel/framework_source.h"

#include <gtest/gtest.h>

#include <string>

#include "costmodel/sources.h"
#include "plan/catalog.h"

namespace pluto {
namespace {

constexpr double kHost = 50e9;
const std::string kData = std::string(PLUTO_SOURCE_DIR) + "/data";

class FrameworkSourceTest : public ::testing::Test {
 protected:
  FrameworkSourceTest() {
    auto made = make_roofline_source(kData + "/efficiency.json",
                                     {.surfaces_path = kData + "/op_surfaces.json"});
    EXPECT_TRUE(made.ok()) << made.error().message;
    source = std::move(*made);
    const auto catalog = Catalog::load(kData + "/catalog");
    EXPECT_TRUE(catalog.ok()) << catalog.error().message;
    device = *catalog->device("V100 SXM2");
    cluster.instance.node = {device,
                             8,
                             {"PCIe3", Seconds(1e-5), BytesPerSecond(10e9)},
                             {"Ethernet", Seconds(3e-5), BytesPerSecond(1e9), 8}};
  }
  static OpSignature convolution(std::int64_t channels) {
    OpSignature signature;
    signature.kind = OpKind::kConv2d;
    ConvAttrs attrs;
    attrs.out_channels = 64;
    attrs.kernel_h = attrs.kernel_w = 3;
    attrs.pad_top = attrs.pad_left = attrs.pad_bottom = attrs.pad_right = 1;
    signature.attrs = attrs;
    signature.inputs = {{Shape{{channels, 56, 56}}, DType::kF32, 1},
                        {Shape{{64, channels, 3, 3}}, DType::kF32, 0}};
    signature.outputs = {{Shape{{64, 56, 56}}, DType::kF32, 1}};
    signature.micro_batch = 64;
    return signature;
  }
  double seconds(const OpSignature& signature, const FrameworkRun& run) const {
    return FrameworkSource(*source, run).op(signature, device, 1).time.value();
  }
  double pushed(StepSync sync, int ranks, int nodes) {
    FrameworkRun run;
    run.sync = sync;
    run.host_bandwidth = BytesPerSecond(kHost);
    cluster.nodes = nodes;
    return FrameworkSource(*source, run)
        .collective({CollectiveKind::kReduceScatter, Bytes(100'000'000), ranks, 1}, cluster)
        .time.value();
  }

  std::unique_ptr<CostSource> source;
  DeviceSpec device;
  ClusterSpec cluster;
};

TEST_F(FrameworkSourceTest, KernelsAndWaitingStretchEveryOperator) {
  FrameworkRun run;
  const double alone = seconds(convolution(64), run);
  run.framework.kernels = 1.5;
  run.slower = 2;
  EXPECT_NEAR(seconds(convolution(64), run), 3 * alone, 1e-12);
  run.generation.kernels = 2;
  EXPECT_NEAR(seconds(convolution(64), run), 6 * alone, 1e-12);
}

TEST_F(FrameworkSourceTest, MixedPrecisionIsFasterAndTransposesCost) {
  FrameworkRun run;
  const double single = seconds(convolution(64), run);
  run.precision = StepPrecision::kMixed;
  const double half = seconds(convolution(64), run);
  EXPECT_LT(half, single);
  run.framework.transposes = true;
  EXPECT_GT(seconds(convolution(64), run), half);
}

TEST_F(FrameworkSourceTest, AnUpdateStaysInSinglePrecisionAndCastsItsParameter) {
  OpSignature update;
  update.kind = OpKind::kSgd;
  update.attrs = SgdAttrs{};
  update.inputs = {{Shape{{1 << 24}}, DType::kF32, 0}, {Shape{{1 << 24}}, DType::kF32, 0}};
  FrameworkRun run;
  const double single = seconds(update, run);
  run.precision = StepPrecision::kMixed;
  EXPECT_GT(seconds(update, run), single);
  run.precision = StepPrecision::kFp32;
  run.framework.update_passes = 3;
  EXPECT_NEAR(seconds(update, run), 3 * single, 1e-12);
}

TEST_F(FrameworkSourceTest, AHostServesItsCardsFromItsMemory) {
  // Two cards are bound by their links, eight by the sums in memory.
  EXPECT_NEAR(pushed(StepSync::kServerCpu, 2, 1), 1e-5 + 1e8 / 10e9, 1e-9);
  EXPECT_NEAR(pushed(StepSync::kServerCpu, 8, 1), 1e-5 + 8e8 / kHost, 1e-9);
  // Two hosts exchange half of it each.
  EXPECT_NEAR(pushed(StepSync::kServerHosts, 16, 2), 1e-5 + 8e8 / kHost + 3e-5 + 0.5e8 / 1e9, 1e-9);
}

TEST_F(FrameworkSourceTest, InterleavedRanksShareTheNetwork) {
  cluster.nodes = 2;
  const CollectiveCall call{CollectiveKind::kAllReduce, Bytes(100'000'000), 16, 16};
  FrameworkRun run;
  const double in_order = FrameworkSource(*source, run).collective(call, cluster).time.value();
  run.interleaved = true;
  const double mixed = FrameworkSource(*source, run).collective(call, cluster).time.value();
  EXPECT_GT(mixed, 4 * in_order);
}

TEST_F(FrameworkSourceTest, WhatADeviceLosesWhileItWaitsForItsHostCostsNothing) {
  const CollectiveCall call{CollectiveKind::kAllReduce, Bytes(100'000'000), 8, 8};
  FrameworkRun run;
  const double share = FrameworkSource(*source, run).collective(call, cluster).cpu_share;
  EXPECT_GT(share, 0.1);
  run.slower = 1.1;
  EXPECT_NEAR(FrameworkSource(*source, run).collective(call, cluster).cpu_share,
              1 - 1.1 * (1 - share), 1e-12);
  run.slower = 2;
  EXPECT_EQ(FrameworkSource(*source, run).collective(call, cluster).cpu_share, 0);
}

TEST_F(FrameworkSourceTest, CopiesToTheHostHardlySlowTheDevice) {
  const auto table = load_interference(kData + "/interference.json");
  ASSERT_TRUE(table.ok());
  FrameworkRun run;
  run.sync = StepSync::kServerCpu;
  run.host_bandwidth = BytesPerSecond(kHost);
  const CollectiveCall push{CollectiveKind::kReduceScatter, Bytes(100'000'000), 8, 1};
  EXPECT_EQ(FrameworkSource(*source, run).collective(push, cluster).cpu_share, 0);
  run.interference = &*table;
  const CollectiveCost cost = FrameworkSource(*source, run).collective(push, cluster);
  EXPECT_GT(cost.cpu_share, 0);
  EXPECT_LT(cost.cpu_share, 0.02);
}

TEST_F(FrameworkSourceTest, EagerAttentionMovesHeadsAndScores) {
  OpSignature attention;
  attention.kind = OpKind::kAttention;
  attention.attrs = AttentionAttrs{12, 12, false};
  const TensorType type{Shape{{384, 768}}, DType::kF32, 1};
  attention.inputs = {type, type, type};
  attention.outputs = {type};
  attention.micro_batch = 16;
  FrameworkRun run;
  const double eager = seconds(attention, run);
  run.framework.eager_attention = false;
  EXPECT_LT(seconds(attention, run), eager);
}

}  // namespace
}  // namespace pluto
