#include "costmodel/op_surface.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>

namespace pluto {
namespace {

SurfaceDevice device() { return {1e13, 5e12, 1e12, 80, 6e6}; }

OpShape product(double m, double n, double k, double batch = 1) {
  OpShape shape;
  shape.op_class = OpClass::kGemm;
  shape.bytes = 4 * batch * (m * k + k * n + m * n);
  shape.products = {{m, n, k, batch, shape.bytes}};
  return shape;
}

OpSurface gemm() {
  OpSurface surface;
  surface[Knob::kPeak] = 0.9;
  surface[Knob::kTile] = 8;
  surface[Knob::kDepth] = 30;
  surface[Knob::kBandwidth] = 0.8;
  surface[Knob::kRamp] = 0.3;
  surface[Knob::kFloor] = 4e-6;
  return surface;
}

double seconds(const OpShape& shape, const OpSurface& surface = gemm(), Load load = Load::kSingle) {
  return surface_seconds(shape, device(), surface, load);
}

TEST(OpSurface, KnobsHaveNamesAndNeutralIsThePlainRoofline) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < kKnobCount; ++i) {
    const auto& range = range_of(static_cast<Knob>(i));
    names.insert(range.name);
    EXPECT_LT(range.least, range.most);
    EXPECT_GE(range.start, range.least);
    EXPECT_LE(range.start, range.most);
  }
  EXPECT_EQ(names.size(), kKnobCount);
  OpShape stream;
  stream.bytes = 1e9;
  EXPECT_DOUBLE_EQ(seconds(stream, OpSurface()), 1e9 / device().bandwidth);
}

TEST(OpSurface, AHugeProductIsBoundByItsTiles) {
  const double n = 65536;
  const double efficiency = 1 / (1 + 8 * (1.0 / 256 + 1.0 / 128));
  const double expected = 2 * n * n * (n + 30) / (1e13 * 0.9 * efficiency);
  EXPECT_NEAR(seconds(product(n, n, n)) / expected, 1, 0.01);
}

TEST(OpSurface, AThinProductIsBoundByMemory) {
  const auto shape = product(8, 32768, 32768);
  EXPECT_NEAR(seconds(shape) / (shape.bytes / (1e12 * 0.8)), 1, 0.15);
}

TEST(OpSurface, AnEmptyProductCostsTheFloor) {
  EXPECT_LT(seconds(product(1, 1, 1)), 5e-6);
  EXPECT_GT(seconds(product(1, 1, 1)), 4e-6);
}

TEST(OpSurface, OneTileMoreThanAWaveCostsMostOfAWave) {
  OpSurface coarse = gemm();
  coarse[Knob::kTile] = 100;  // small tiles do not pay
  const double full = seconds(product(256 * 80, 128, 4096), coarse);
  const double more = seconds(product(256 * 80 + 1, 128, 4096), coarse);
  EXPECT_GT(more, 1.2 * full);
  EXPECT_LT(more, 2.0 * full);
}

TEST(OpSurface, ALongInnerAxisIsSplitWhenThereAreFewTiles) {
  const double deep = seconds(product(128, 128, 1 << 20));
  const double one_tile = 2.0 * 128 * 128 * (1 << 20) / (1e13 / 80 * 0.9);
  EXPECT_LT(deep, one_tile / 8);
}

TEST(OpSurface, MoreWorkIsNeverFasterAndABetterDeviceNeverSlower) {
  for (const double m : {1.0, 17.0, 64.0, 300.0, 2048.0}) {
    for (const double k : {8.0, 64.0, 1000.0, 20000.0}) {
      const double base = seconds(product(m, 512, k));
      EXPECT_LE(base, seconds(product(m, 512, k, 2)) * 1.0001) << m << " " << k;
      EXPECT_LE(base, seconds(product(2 * m, 512, k)) * 1.0001) << m << " " << k;
      EXPECT_LE(base, seconds(product(m, 512, 2 * k)) * 1.0001) << m << " " << k;
      for (auto better :
           {SurfaceDevice{2e13, 5e12, 1e12, 80, 6e6}, SurfaceDevice{1e13, 5e12, 2e12, 80, 6e6}}) {
        EXPECT_LE(surface_seconds(product(m, 512, k), better, gemm(), Load::kSingle), base);
      }
    }
  }
}

TEST(OpSurface, ClocksSettleUnderLoad) {
  OpSurface hot = gemm();
  hot[Knob::kSustained] = 0.5;
  const auto small = product(512, 512, 512), large = product(16384, 16384, 16384);
  EXPECT_NEAR(seconds(small, hot) / seconds(small), 1, 0.02);
  EXPECT_NEAR(seconds(large, hot) / seconds(large), 2, 0.05);
  EXPECT_NEAR(seconds(large, hot, Load::kSteady) / seconds(large), 2, 0.01);
  EXPECT_GT(seconds(small, hot, Load::kSteady), 1.3 * seconds(small));
}

TEST(OpSurface, WinogradIsTakenWhenItIsFaster) {
  OpShape shape = product(64 * 56 * 56, 256, 256 * 9);
  shape.op_class = OpClass::kConv;
  shape.winograd = {3, 64, 56, 56, 256, 256, shape.bytes, 4.0 * 256 * 256 * 9};
  const double direct = seconds(shape);
  OpSurface winograd = gemm();
  winograd[Knob::kWinograd2] = 0.8;
  EXPECT_LT(seconds(shape, winograd), direct / 1.5);
  EXPECT_GT(seconds(shape, winograd), direct / 2.25);
}

TEST(OpSurface, PassesAndAlignmentOfConvolutions) {
  OpShape shape = product(4096, 4096, 4096);
  shape.op_class = OpClass::kConv;
  shape.pass = OpPass::kBackwardWeight;
  OpSurface surface = gemm();
  surface[Knob::kBackwardWeight] = 0.5;
  EXPECT_NEAR(seconds(shape, surface) / seconds(shape), 2, 0.05);
  shape.pass = OpPass::kForward;
  shape.arithmetic = Arithmetic::kHalf;
  const double aligned = seconds(shape);
  shape.aligned = false;
  EXPECT_GT(seconds(shape), 1.5 * aligned);  // f32's peak is half of this one's
}

TEST(OpSurface, LongRowsAreReadAgain) {
  OpShape rows;
  rows.op_class = OpClass::kSoftmax;
  rows.bytes = 1e9;
  OpSurface surface;
  surface[Knob::kReread] = 0.5;
  surface[Knob::kRow] = 1000;
  rows.row = 10;
  EXPECT_NEAR(seconds(rows, surface) / 1e-3, 1, 0.01);
  rows.row = 100000;
  EXPECT_NEAR(seconds(rows, surface) / 1e-3, 1.5, 0.01);
}

TEST(OpSurface, RecurrentStepsWaitForEachOther) {
  OpShape one = product(4096, 32, 1024);
  one.op_class = OpClass::kRecurrent;
  one.sequence = 1;
  OpShape many = one;
  many.products[0].repeats = many.sequence = 100;
  OpSurface surface = gemm();
  surface[Knob::kStep] = 1e-5;
  const double floor = surface[Knob::kFloor];
  EXPECT_NEAR((seconds(many, surface) - floor) / (seconds(one, surface) - floor), 100, 1e-6);
}

}  // namespace
}  // namespace pluto
