#include <gtest/gtest.h>

#include <cmath>

#include "costmodel/op_calibration.h"
#include "costmodel/sources.h"
#include "tests/support/table_costs.h"

namespace pluto {
namespace {

using testing::TableCosts;
using testing::test_cluster;

OpSignature linear(std::int64_t features, std::int64_t batch, OpPass pass = OpPass::kForward) {
  OpSignature signature;
  signature.kind = OpKind::kLinear;
  signature.pass = pass;
  signature.attrs = LinearAttrs{features, false};
  signature.inputs = {{Shape{{features}}, DType::kF32, 1},
                      {Shape{{features, features}}, DType::kF32, 0}};
  signature.outputs = {{Shape{{features}}, DType::kF32, 1}};
  signature.micro_batch = batch;
  return signature;
}

class MeasuredSource : public ::testing::Test {
 protected:
  MeasuredSource() {
    // By datasheet every op takes a microsecond per sample.
    fallback.op_seconds = [](const OpSignature& op) {
      return 1e-6 * static_cast<double>(op.micro_batch);
    };
    fallback.evidence = Evidence::kDatasheet;
    fallback.relative_spread = 0.35;
    fallback.collective_seconds = [](const CollectiveCall&, const ClusterSpec&) { return 0.5; };
    fallback.input_seconds = 0.25;
    fallback.overhead = std::nullopt;
  }
  void add_op(const OpSignature& signature, double seconds, int busy = 1,
              std::int64_t workspace = 0) {
    Measurement measurement;
    measurement.context.busy_ranks = busy;
    measurement.what =
        OpMeasurement{signature, "plain", Timing{Seconds(seconds), 0.01, 30}, Bytes(workspace)};
    points.push_back({static_cast<std::int64_t>(points.size()) + 1, measurement});
  }
  template <class What>
  void add(What what) {
    Measurement measurement;
    measurement.what = std::move(what);
    points.push_back({static_cast<std::int64_t>(points.size()) + 1, std::move(measurement)});
  }
  OpCost op(const OpSignature& signature, int busy = 1) {
    return make_measured_source(points, device, fallback)->op(signature, device, busy);
  }

  TableCosts fallback;
  DeviceSpec device = test_cluster(1, 1).instance.node.device;
  std::vector<CalibrationPoint> points;
};

TEST_F(MeasuredSource, ReturnsAMeasurementOfTheSameSignature) {
  add_op(linear(8, 16), 3e-5, 1, 4096);
  const auto cost = op(linear(8, 16));
  EXPECT_EQ(cost.time.value(), 3e-5);
  EXPECT_EQ(cost.evidence, Evidence::kMeasured);
  EXPECT_EQ(cost.relative_spread, 0.01);
  EXPECT_EQ(cost.workspace, Bytes(4096));
}

TEST_F(MeasuredSource, TheNewestMeasurementWinsInAnyOrder) {
  add_op(linear(8, 16), 3e-5);
  add_op(linear(8, 16), 5e-5);
  EXPECT_EQ(op(linear(8, 16)).time.value(), 5e-5);
  std::swap(points[0], points[1]);
  EXPECT_EQ(op(linear(8, 16)).time.value(), 5e-5);
}

TEST_F(MeasuredSource, InterpolatesPiecewiseLinearlyOverTheBatch) {
  add_op(linear(8, 16), 2e-5, 1, 100);
  add_op(linear(8, 32), 3e-5, 1, 200);
  add_op(linear(8, 64), 9e-5);
  const auto cost = op(linear(8, 24));
  EXPECT_DOUBLE_EQ(cost.time.value(), 2.5e-5);
  EXPECT_EQ(cost.evidence, Evidence::kInterpolated);
  EXPECT_GT(cost.relative_spread, 0.01);
  EXPECT_EQ(cost.workspace, Bytes(200));
}

TEST_F(MeasuredSource, GoesALittleBeyondTheRangeWithAWiderSpread) {
  add_op(linear(8, 16), 2e-5);
  add_op(linear(8, 32), 3e-5);
  const auto above = op(linear(8, 48)), below = op(linear(8, 8)), inside = op(linear(8, 24));
  EXPECT_DOUBLE_EQ(above.time.value(), 4e-5);
  EXPECT_DOUBLE_EQ(below.time.value(), 1.5e-5);
  EXPECT_EQ(above.evidence, Evidence::kInterpolated);
  EXPECT_GT(above.relative_spread, inside.relative_spread);
}

TEST_F(MeasuredSource, ExtrapolationStaysBetweenConstantAndProportional) {
  add_op(linear(8, 16), 4e-5);
  add_op(linear(8, 32), 3e-5);  // noise: falling
  EXPECT_DOUBLE_EQ(op(linear(8, 64)).time.value(), 3e-5);
  points.clear();
  add_op(linear(8, 16), 1e-6);
  add_op(linear(8, 32), 9e-5);  // steeper than proportional
  EXPECT_DOUBLE_EQ(op(linear(8, 64)).time.value(), 1.8e-4);
  EXPECT_DOUBLE_EQ(op(linear(8, 8)).time.value(), 5e-7);
}

TEST_F(MeasuredSource, FarBeyondTheRangeTheFamilyScalesTheDatasheet) {
  add_op(linear(8, 16), 4e-5);
  add_op(linear(8, 32), 8e-5);
  const auto cost = op(linear(8, 1024));
  EXPECT_EQ(cost.evidence, Evidence::kCalibrated);
  EXPECT_DOUBLE_EQ(cost.time.value(), 1e-6 * 1024 * (8e-5 / 32e-6));
}

TEST_F(MeasuredSource, OtherShapesScaleByTheGeometricMeanOfTheirKindAndPass) {
  add_op(linear(8, 10), 2e-5);                         // ratio 2
  add_op(linear(9, 10), 8e-5);                         // ratio 8
  add_op(linear(8, 10, OpPass::kBackwardData), 1e-3);  // another pass
  const auto cost = op(linear(77, 100));
  EXPECT_EQ(cost.evidence, Evidence::kCalibrated);
  EXPECT_NEAR(cost.time.value(), 4 * 1e-4, 1e-12);
  EXPECT_NEAR(cost.relative_spread, std::log(2) * std::sqrt(2), 1e-9);
}

TEST_F(MeasuredSource, WhatWasNeverSeenFallsBack) {
  add_op(linear(8, 10), 2e-5);
  const auto cost = op(linear(8, 10, OpPass::kBackwardWeight));
  EXPECT_EQ(cost.evidence, Evidence::kDatasheet);
  EXPECT_DOUBLE_EQ(cost.time.value(), 1e-5);
}

TEST_F(MeasuredSource, OtherDevicesFallBack) {
  add_op(linear(8, 10), 2e-5);
  const auto source = make_measured_source(points, device, fallback);
  auto other = device;
  other.name = "another device";
  EXPECT_EQ(source->op(linear(8, 10), other, 1).evidence, Evidence::kDatasheet);
}

TEST_F(MeasuredSource, TheNearestNumberOfBusyRanksIsUsedExactFirst) {
  add_op(linear(8, 16), 2e-5, 1);
  add_op(linear(8, 16), 5e-5, 4);
  EXPECT_EQ(op(linear(8, 16), 1).time.value(), 2e-5);
  EXPECT_EQ(op(linear(8, 16), 4).time.value(), 5e-5);
  EXPECT_EQ(op(linear(8, 16), 2).time.value(), 2e-5);
  EXPECT_EQ(op(linear(8, 16), 8).time.value(), 5e-5);
  EXPECT_EQ(op(linear(8, 16), 4).evidence, Evidence::kMeasured);
  EXPECT_EQ(op(linear(8, 16), 8).evidence, Evidence::kInterpolated);
}

TEST_F(MeasuredSource, RebuildingFromGatheredFactorsIsKnownFromLargerBatches) {
  auto gathered = linear(8, 4, OpPass::kBackwardWeight);
  for (auto* types : {&gathered.inputs, &gathered.outputs}) {
    for (auto& type : *types) type.batch_multiple *= 4;
  }
  add_op(linear(8, 16, OpPass::kBackwardWeight), 7e-5);
  const auto cost = op(gathered);
  EXPECT_EQ(cost.time.value(), 7e-5);
  EXPECT_EQ(cost.evidence, Evidence::kMeasured);
}

TEST_F(MeasuredSource, CollectivesOfThisDeviceAreMeasuredAndOthersAreNot) {
  Measurement measurement;
  measurement.context.busy_ranks = 2;
  measurement.what = CollectiveMeasurement{CollectiveKind::kAllReduce,    Bytes(1024), 2, "mpi",
                                           Timing{Seconds(3e-5), 0.1, 9}, 0.4};
  points.push_back({5, measurement});
  const auto source = make_measured_source(points, device, fallback);
  const CollectiveCall call{CollectiveKind::kAllReduce, Bytes(1024), 2, 2};
  auto cluster = test_cluster(1, 2);
  EXPECT_EQ(source->collective(call, cluster).time.value(), 3e-5);
  cluster.instance.node.device.name = "another device";
  EXPECT_EQ(source->collective(call, cluster).time.value(), 0.5);
}

// What the profiler saw is the processor time of a thread: the device of processors, not a GPU.
TEST_F(MeasuredSource, AMeasuredShareOfTheProcessorIsNoShareOfAGpu) {
  add(CollectiveMeasurement{CollectiveKind::kAllReduce, Bytes(1 << 20), 4, "mpi",
                            Timing{Seconds(1e-3), 0.01, 30}, 0.9});
  fallback.cpu_share = 0.2;
  const CollectiveCall call{CollectiveKind::kAllReduce, Bytes(1 << 20), 4, 4};
  const auto share = [&](DeviceKind kind) {
    device.kind = kind;
    ClusterSpec cluster = test_cluster(4, 1);
    cluster.instance.node.device = device;
    const auto cost = make_measured_source(points, device, fallback)->collective(call, cluster);
    EXPECT_EQ(cost.time.value(), 1e-3);
    EXPECT_EQ(cost.evidence, Evidence::kMeasured);
    return cost.cpu_share;
  };
  EXPECT_EQ(share(DeviceKind::kGpu), 0.2);
  EXPECT_EQ(share(DeviceKind::kCpu), 0.9);
}

TEST_F(MeasuredSource, ReadingScalesWithTheBytesOfASample) {
  add(InputMeasurement{"fashion-mnist", Bytes(1000), Timing{Seconds(1e-6), 0.1, 9}});
  add(InputMeasurement{"fashion-mnist", Bytes(1000), Timing{Seconds(2e-6), 0.1, 9}});
  const auto source = make_measured_source(points, device, fallback);
  EXPECT_EQ(source->input_sample("fashion-mnist", Bytes(1000)).time.value(), 2e-6);
  EXPECT_EQ(source->input_sample("fashion-mnist", Bytes(1000)).evidence, Evidence::kMeasured);
  EXPECT_EQ(source->input_sample("fashion-mnist", Bytes(4000)).time.value(), 8e-6);
  EXPECT_EQ(source->input_sample("fashion-mnist", Bytes(4000)).evidence, Evidence::kCalibrated);
  EXPECT_EQ(source->input_sample("synthetic", Bytes(1000)).time.value(), 0.25);
}

TEST_F(MeasuredSource, KnowsTheProcessAndTheWatermark) {
  EXPECT_FALSE(make_measured_source(points, device, fallback)->process_overhead().has_value());
  EXPECT_EQ(make_measured_source(points, device, fallback)->watermark(), 0);
  add(ProcessMeasurement{Bytes(100), 1});
  add(ProcessMeasurement{Bytes(300), 2});
  add(StepMeasurement{});  // nothing is predicted from whole steps
  const auto source = make_measured_source(points, device, fallback);
  EXPECT_EQ(source->process_overhead(), Bytes(300));
  EXPECT_EQ(source->watermark(), 2);
}

}  // namespace
}  // namespace pluto
