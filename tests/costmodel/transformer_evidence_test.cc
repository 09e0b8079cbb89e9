#include "costmodel/transformer_evidence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "costmodel/transformer_points.h"
#include "plan/catalog.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;

const std::string kData = PLUTO_SOURCE_DIR "/data";

TransformerCostTable shipped() {
  return TransformerCostTable::load(kData + "/transformer.json").value();
}

/// Every `stride`th row of the node table, as the database would hand it over.
std::vector<CalibrationPoint> measured(std::size_t stride) {
  const auto catalog = Catalog::load(kData + "/catalog").value();
  const auto nodes =
      read_transformer_nodes(kData + "/measured/clusters.csv", catalog.devices()).value();
  const auto rows = read_transformer_points(kData + "/measured/vtrain_node.csv", nodes).value();
  std::vector<CalibrationPoint> points;
  for (std::size_t i = 0; i < rows.size(); i += stride) {
    const auto& point = rows[i].point;
    points.push_back(
        {static_cast<std::int64_t>(i + 5),
         {{},
          TransformerStepMeasurement{point.shape, point.plan, point.cluster, {point.step, 0, 1}}}});
  }
  return points;
}

DeviceSpec device_named(const std::string& name) {
  return Catalog::load(kData + "/catalog").value().device(name).value();
}

TEST(TransformerEvidence, RunsOfTheDeviceMoveItsConstantsAndNameThemselves) {
  const auto points = measured(72);
  ASSERT_EQ(points.size(), 20U);
  const auto table = shipped();
  const auto device = device_named("A100 SXM 80GB");
  const auto found = transformer_evidence(points, device, table);
  ASSERT_TRUE(found.ok()) << found.error().message;
  EXPECT_EQ(found->points.size(), 20U);
  EXPECT_EQ(found->watermark, points.back().id);
  EXPECT_EQ(found->evidence, Evidence::kCalibrated);
  EXPECT_LE(found->after, found->before);
  EXPECT_NE(found->costs.value, table.costs_for(device).value);
  EXPECT_THAT(found->basis, HasSubstr("calibrated by 20 runs of A100 SXM 80GB"));
}

TEST(TransformerEvidence, RunsOfAnotherDeviceChangeNothing) {
  const auto table = shipped();
  const auto device = device_named("H100 SXM");
  const auto found = transformer_evidence(measured(72), device, table);
  ASSERT_TRUE(found.ok());
  EXPECT_TRUE(found->points.empty());
  EXPECT_EQ(found->watermark, 0);
  EXPECT_EQ(found->costs.value, table.costs_for(device).value);
}

TEST(TransformerEvidence, ADeviceNobodyMeasuredIsADatasheet) {
  const auto found = transformer_evidence({}, device_named("L40S"), shipped());
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->evidence, Evidence::kDatasheet);
  EXPECT_GE(found->costs.step_spread, 0.35);
  EXPECT_THAT(found->basis, HasSubstr("no run of L40S"));
}

TEST(TransformerEvidence, LeftOutErrorsAreThoseOfPointsNotSeen) {
  const auto table = shipped();
  const auto device = device_named("A100 SXM 80GB");
  const auto found = transformer_evidence(measured(144), device, table);
  ASSERT_TRUE(found.ok());
  const auto errors = left_out_errors(found->points, table.costs_for(device), 40);
  ASSERT_TRUE(errors.ok()) << errors.error().message;
  ASSERT_EQ(errors->size(), found->points.size());
  // The first point's error is that of a fit without all points of its kernels.
  const auto& first = found->points.front();
  const std::string kind = layer_kernels(first.shape, first.plan);
  std::vector<TransformerPoint> rest;
  for (const auto& one : found->points) {
    if (layer_kernels(one.shape, one.plan) != kind) rest.push_back(one);
  }
  ASSERT_LT(rest.size(), found->points.size());
  ASSERT_FALSE(rest.empty());
  const auto fit = calibrate_transformer(rest, table.costs_for(device));
  ASSERT_TRUE(fit.ok());
  const auto step = predict_measured_layers(first.shape, first.plan, first.cluster, fit->costs,
                                            LayerFactors(rest, fit->costs));
  EXPECT_NEAR((*errors)[0], std::log(step.step() / first.step), 1e-12);
  EXPECT_FALSE(left_out_errors(found->points, table.costs_for(device), 1).ok());
  EXPECT_FALSE(left_out_errors(std::vector(3, first), table.costs_for(device), 10).ok());
}

TEST(TransformerEvidence, AFasterProductShortensSteps) {
  const auto table = shipped();
  const auto found = transformer_evidence(measured(144), device_named("A100 SXM 80GB"), table);
  ASSERT_TRUE(found.ok());
  const auto effect = effect_of(TransformerConstant::kGemmFraction, found->points, found->costs);
  EXPECT_GT(effect.low, 0);
  EXPECT_LT(effect.high, 0);
  // No point runs in 8 bits.
  const auto none = effect_of(TransformerConstant::kFp8Gain, found->points, found->costs);
  EXPECT_EQ(none.low, 0);
  EXPECT_EQ(none.high, 0);
}

}  // namespace
}  // namespace pluto
