#include <gtest/gtest.h>

#include <string>

#include "costmodel/collective_time.h"
#include "costmodel/efficiency.h"
#include "costmodel/nccl_model.h"
#include "costmodel/sources.h"
#include "costmodel/uncertainty.h"
#include "tests/support/table_costs.h"

namespace pluto {
namespace {

using testing::test_cluster;

const std::string kShipped = std::string(PLUTO_SOURCE_DIR) + "/data/efficiency.json";

class RooflineSource : public ::testing::Test {
 protected:
  void SetUp() override {
    auto made = make_roofline_source(kShipped);
    ASSERT_TRUE(made.ok()) << made.error().message;
    source = std::move(*made);
    table = *load_efficiency(kShipped);
  }
  static OpSignature linear(std::int64_t features, std::int64_t batch, DType dtype = DType::kF32) {
    OpSignature signature;
    signature.kind = OpKind::kLinear;
    signature.attrs = LinearAttrs{features, false};
    signature.inputs = {{Shape{{features}}, dtype, 1}, {Shape{{features, features}}, dtype, 0}};
    signature.outputs = {{Shape{{features}}, dtype, 1}};
    signature.micro_batch = batch;
    return signature;
  }
  const ClassEfficiency& gemm(DeviceKind kind) const {
    return table.of(kind).classes[static_cast<std::size_t>(OpClass::kGemm)];
  }

  std::unique_ptr<CostSource> source;
  EfficiencyTable table;
  DeviceSpec gpu = test_cluster(1, 1).instance.node.device;
};

TEST_F(RooflineSource, LargeProductsAreBoundByArithmetic) {
  const auto cost = source->op(linear(4096, 4096), gpu, 1);
  const double flops = 2.0 * 4096 * 4096 * 4096;
  EXPECT_DOUBLE_EQ(cost.time.value(), flops / (1e12 * gemm(DeviceKind::kGpu).flops) +
                                          gemm(DeviceKind::kGpu).floor.value());
  EXPECT_EQ(cost.evidence, Evidence::kDatasheet);
}

TEST_F(RooflineSource, SmallBatchesAreBoundByMemory) {
  const auto cost = source->op(linear(4096, 1), gpu, 1);
  const double bytes = 4.0 * (4096 * 4096 + 2 * 4096);
  EXPECT_DOUBLE_EQ(cost.time.value(), bytes / (1e11 * gemm(DeviceKind::kGpu).bandwidth) +
                                          gemm(DeviceKind::kGpu).floor.value());
}

TEST_F(RooflineSource, AnUnstatedPeakIsAssumedToBeThatOfSinglePrecision) {
  const auto half = source->op(linear(4096, 4096, DType::kF16), gpu, 1);
  EXPECT_EQ(half.evidence, Evidence::kAssumed);
  EXPECT_DOUBLE_EQ(half.time.value(), source->op(linear(4096, 4096), gpu, 1).time.value());
  auto blank = gpu;
  blank.peak.clear();
  blank.memory_bandwidth = BytesPerSecond(0);
  const auto assumed = source->op(linear(4096, 4096), blank, 1);
  EXPECT_EQ(assumed.evidence, Evidence::kAssumed);
  EXPECT_GT(assumed.time.value(), 0);
}

TEST_F(RooflineSource, ClassesThatWereNotFittedAreAssumed) {
  auto cpu = gpu;
  cpu.kind = DeviceKind::kCpu;
  ASSERT_FALSE(gemm(DeviceKind::kCpu).fitted);
  EXPECT_EQ(source->op(linear(64, 8), cpu, 1).evidence, Evidence::kAssumed);
}

TEST_F(RooflineSource, BusyNeighboursSlowMemoryOnACpuOnly) {
  auto cpu = gpu;
  cpu.kind = DeviceKind::kCpu;
  const auto alone = source->op(linear(4096, 1), cpu, 1).time;
  const auto crowded = source->op(linear(4096, 1), cpu, 3).time;
  const auto floor = gemm(DeviceKind::kCpu).floor;
  EXPECT_DOUBLE_EQ((crowded - floor) / (alone - floor), 1 + 2 * table.cpu.bandwidth_contention);
  EXPECT_EQ(source->op(linear(4096, 1), gpu, 1).time, source->op(linear(4096, 1), gpu, 8).time);
}

TEST_F(RooflineSource, AFasterDeviceIsNeverSlower) {
  for (const auto batch : {1, 16, 256, 4096}) {
    for (const auto features : {16, 256, 2048}) {
      auto faster = gpu;
      faster.peak[DType::kF32] = FlopsPerSecond(2e12);
      EXPECT_LE(source->op(linear(features, batch), faster, 1).time,
                source->op(linear(features, batch), gpu, 1).time);
      faster.memory_bandwidth = BytesPerSecond(2e11);
      EXPECT_LE(source->op(linear(features, batch), faster, 1).time,
                source->op(linear(features, batch), gpu, 1).time);
    }
  }
}

TEST_F(RooflineSource, AViewOfTheSameBytesIsFree) {
  OpSignature reshape;
  reshape.kind = OpKind::kReshape;
  reshape.attrs = ReshapeAttrs{{16}};
  reshape.inputs = {{Shape{{4, 4}}, DType::kF32, 1}};
  reshape.outputs = {{Shape{{16}}, DType::kF32, 1}};
  EXPECT_EQ(source->op(reshape, gpu, 1).time.value(), 0);
}

TEST_F(RooflineSource, CollectivesOfCpusFollowTheClosedForms) {
  auto cluster = test_cluster(4, 1);
  cluster.instance.node.device.kind = DeviceKind::kCpu;
  cluster.instance.node.network.cpu_share = 0.25;
  const CollectiveCall call{CollectiveKind::kAllReduce, Bytes(1 << 20), 4, 4};
  const auto cost = source->collective(call, cluster);
  EXPECT_EQ(cost.time, collective_time(call, cluster).total());
  EXPECT_EQ(cost.evidence, Evidence::kDatasheet);
  EXPECT_EQ(cost.cpu_share, 0.25);
  EXPECT_EQ(
      source->collective({CollectiveKind::kAllReduce, Bytes(1 << 20), 1, 1}, cluster).time.value(),
      0);
}

TEST_F(RooflineSource, CollectivesOfGpusFollowTheNcclModel) {
  const auto nccl = load_nccl(std::string(PLUTO_SOURCE_DIR) + "/data/nccl.json");
  ASSERT_TRUE(nccl.ok());
  auto cluster = test_cluster(2, 8);
  cluster.instance.node.intra = {"NVLink4", Seconds(3.4e-6), BytesPerSecond(450e9), 1, 0};
  for (const int ranks : {8, 16}) {
    const CollectiveCall call{CollectiveKind::kAllReduce, Bytes(1 << 20), ranks, ranks};
    const auto cost = source->collective(call, cluster);
    EXPECT_EQ(cost.time, nccl_time(call, cluster, *nccl).time);
    // Nothing was fitted across nodes.
    EXPECT_EQ(cost.evidence, ranks == 8 ? Evidence::kCalibrated : Evidence::kDatasheet);
    EXPECT_GE(cost.relative_spread, least_spread(cost.evidence));
  }
  // Two owners for eight ranks: direct messages.
  const CollectiveCall push{CollectiveKind::kReduceScatter, Bytes(1 << 20), 8, 2};
  EXPECT_EQ(source->collective(push, cluster).time, collective_time(push, cluster).total());
  EXPECT_EQ(source->collective(push, cluster).evidence, Evidence::kDatasheet);
}

TEST_F(RooflineSource, ReadingIsAssumedAndNothingIsKnownOfTheProcess) {
  const auto cost = source->input_sample("fashion-mnist", Bytes(3136));
  EXPECT_EQ(cost.evidence, Evidence::kAssumed);
  EXPECT_GT(cost.time.value(), 0);
  EXPECT_EQ(source->input_sample("never heard of", Bytes(1'000'000)).evidence, Evidence::kAssumed);
  EXPECT_FALSE(source->process_overhead().has_value());
  EXPECT_EQ(source->watermark(), 0);
}

}  // namespace
}  // namespace pluto
