#include <gmock/gmock.h>
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

using ::testing::HasSubstr;
using ::testing::Not;
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

// The launch and one reading of the product are saved; what backward reads again is written.
TEST_F(RooflineSource, AFunctionBehindAProductIsCheaperThanANodeOfItsOwn) {
  const auto surfaces =
      make_roofline_source(kShipped, {std::string(PLUTO_SOURCE_DIR) + "/data/op_surfaces.json"});
  ASSERT_TRUE(surfaces.ok());
  DeviceSpec v100 = gpu, cpu = gpu;
  v100.generation = "Volta";
  v100.multiprocessors = 80;
  v100.cache = Bytes(6 << 20);
  cpu.kind = DeviceKind::kCpu;
  for (const Activation function : {Activation::kRelu, Activation::kTanh, Activation::kGelu}) {
    for (const std::int64_t batch : {1, 64, 4096}) {
      OpSignature product = linear(1024, batch), merged = product;
      std::get<LinearAttrs>(merged.attrs).activation = function;
      if (keeps_operand(function)) merged.outputs.push_back(merged.outputs[0]);
      const OpSignature alone{kind_of(function), OpPass::kForward, NoAttrs{},
                              product.outputs,   product.outputs,  batch};
      for (const DeviceSpec& device : {gpu, v100, cpu}) {
        const auto time = [&](const OpSignature& signature) {
          return (*surfaces)->op(signature, device, 1).time.value();
        };
        EXPECT_LT(time(merged), time(product) + time(alone)) << to_text(merged);
        EXPECT_GE(time(merged), time(product)) << to_text(merged);
      }
    }
  }
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

class SurfaceSource : public RooflineSource {
 protected:
  void SetUp() override {
    RooflineSource::SetUp();
    v100.name = "V100 PCIe";
    v100.generation = "Volta";
    v100.memory_bandwidth = BytesPerSecond(9e11);
    v100.peak = {{DType::kF32, FlopsPerSecond(14e12)}, {DType::kF16, FlopsPerSecond(112e12)}};
    v100.multiprocessors = 80;
    v100.cache = Bytes(6'000'000);
  }
  static std::unique_ptr<CostSource> with(RooflineOptions options) {
    options.surfaces_path = std::string(PLUTO_SOURCE_DIR) + "/data/op_surfaces.json";
    auto made = make_roofline_source(kShipped, options);
    EXPECT_TRUE(made.ok()) << made.error().message;
    return std::move(*made);
  }
  DeviceSpec v100;
};

TEST_F(SurfaceSource, TheNearestMeasurementAnswersAndSaysSo) {
  const auto costs = with({});
  const auto own = costs->op(linear(4096, 4096), v100, 1);
  EXPECT_EQ(own.evidence, Evidence::kCalibrated);
  // 137 GFLOP at 80 to 100 % of 14 TFLOP/s
  EXPECT_GT(own.time.value(), 2.0 * 4096 * 4096 * 4096 / 14e12);
  EXPECT_LT(own.time.value(), 2.0 * 4096 * 4096 * 4096 / (0.8 * 14e12));
  auto sister = v100;
  sister.name = "Titan V";
  const auto generation = costs->op(linear(4096, 4096), sister, 1);
  EXPECT_EQ(generation.evidence, Evidence::kDatasheet);
  EXPECT_NEAR(generation.time / own.time, 1, 0.2);
  auto stranger = sister;
  stranger.generation = "Rubin";
  EXPECT_EQ(costs->op(linear(4096, 4096), stranger, 1).evidence, Evidence::kDatasheet);
  EXPECT_THAT(costs->op_basis(v100), HasSubstr("gemm"));
  EXPECT_THAT(costs->op_basis(v100), HasSubstr("measured on this device"));
  EXPECT_THAT(costs->op_basis(sister), Not(HasSubstr("this device")));
  EXPECT_THAT(costs->op_basis(sister), HasSubstr("measured on its generation"));
  EXPECT_THAT(costs->op_basis(stranger), HasSubstr("measured on other devices"));
}

TEST_F(SurfaceSource, WithoutMultiprocessorsTheFractionsOfThePeakRemain) {
  const auto costs = with({});
  EXPECT_EQ(costs->op(linear(4096, 64), gpu, 1).time, source->op(linear(4096, 64), gpu, 1).time);
  auto cpu = v100;
  cpu.kind = DeviceKind::kCpu;
  EXPECT_EQ(costs->op(linear(4096, 64), cpu, 1).time, source->op(linear(4096, 64), cpu, 1).time);
  EXPECT_EQ(costs->op_basis(cpu), "");
}

TEST_F(SurfaceSource, TensorCoresAreFasterWhereTheyAre) {
  const auto plain = with({}), tf32 = with({.tf32 = true});
  EXPECT_LT(plain->op(linear(4096, 4096, DType::kF16), v100, 1).time.value(),
            0.3 * plain->op(linear(4096, 4096), v100, 1).time.value());
  EXPECT_EQ(tf32->op(linear(4096, 4096), v100, 1).time,
            plain->op(linear(4096, 4096), v100, 1).time);
  v100.tf32_peak = FlopsPerSecond(56e12);
  const auto fast = tf32->op(linear(4096, 4096), v100, 1);
  EXPECT_LT(fast.time.value(), 0.6 * plain->op(linear(4096, 4096), v100, 1).time.value());
  EXPECT_EQ(fast.evidence, Evidence::kDatasheet);
}

TEST_F(SurfaceSource, ABetterDeviceIsNeverSlowerAndASmallOpCostsItsStart) {
  const auto costs = with({});
  for (const auto batch : {1, 16, 256, 4096}) {
    for (const auto features : {16, 256, 2048}) {
      auto faster = v100;
      faster.peak[DType::kF32] = FlopsPerSecond(28e12);
      const auto time = costs->op(linear(features, batch), v100, 1).time;
      EXPECT_LE(costs->op(linear(features, batch), faster, 1).time, time);
      faster.memory_bandwidth = BytesPerSecond(18e11);
      EXPECT_LE(costs->op(linear(features, batch), faster, 1).time, time);
      EXPECT_GE(time.value(), 1e-6);
    }
  }
}

TEST_F(SurfaceSource, EagerAttentionCostsItsScores) {
  const TensorType q{Shape{{1024, 768}}, DType::kF16, 1}, lse{Shape{{12, 1024}}, DType::kF32, 1};
  const OpSignature attention{OpKind::kAttention, OpPass::kForward, AttentionAttrs{12, 12, false},
                              {q, q, q},          {q, lse},         8};
  const auto fused = with({})->op(attention, v100, 1);
  const auto eager = with({.eager_attention = true})->op(attention, v100, 1);
  EXPECT_GT(eager.time.value(), 2 * fused.time.value());
  EXPECT_EQ(fused.evidence, Evidence::kDatasheet);  // borrowed from gemm
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
