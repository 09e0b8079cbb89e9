#include "costmodel/transformer_evidence.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "base/statistics.h"
#include "costmodel/uncertainty.h"

namespace pluto {

namespace {

Seconds step_of(const TransformerPoint& point, const TransformerCosts& costs,
                const LayerFactors& factors) {
  return predict_measured_layers(point.shape, point.plan, point.cluster, costs, factors).step();
}

TransformerEvidence shipped(const DeviceSpec& device, const TransformerCostTable& table) {
  TransformerEvidence found;
  found.costs = table.costs_for(device);
  if (table.fitted_on(device)) {
    found.evidence = Evidence::kCalibrated;
    found.basis = fmt::format(
        "constants of data/transformer.json, fitted to published runs of devices like {}",
        device.name);
    return found;
  }
  found.costs.step_spread = std::max(found.costs.step_spread, least_spread(Evidence::kDatasheet));
  found.basis = fmt::format(
      "constants of data/transformer.json over the datasheet: no run of {} was seen", device.name);
  return found;
}

}  // namespace

Result<TransformerEvidence> transformer_evidence(std::span<const CalibrationPoint> measurements,
                                                 const DeviceSpec& device,
                                                 const TransformerCostTable& table) {
  TransformerEvidence found = shipped(device, table);
  for (const CalibrationPoint& one : measurements) {
    const auto* step = std::get_if<TransformerStepMeasurement>(&one.measurement.what);
    if (step == nullptr || step->cluster.instance.node.device.name != device.name) continue;
    found.points.push_back({step->shape, step->plan, step->cluster, step->step.median});
    found.watermark = std::max(found.watermark, one.id);
  }
  if (found.points.empty()) return found;
  PLUTO_ASSIGN_AT("measured steps of " + device.name, const TransformerCalibration fit,
                  calibrate_transformer(found.points, found.costs));
  found.costs = fit.costs;
  found.evidence = Evidence::kCalibrated;
  found.factors = LayerFactors(found.points, found.costs);
  found.before = fit.before;
  std::vector<double> errors;
  for (const TransformerPoint& one : found.points) {
    errors.push_back(std::abs(step_of(one, found.costs, found.factors) / one.step - 1));
  }
  found.after = median(errors);
  found.basis = fmt::format("calibrated by {} run{} of {} (their median error {:.1f} -> {:.1f} %)",
                            fit.points, fit.points == 1 ? "" : "s", device.name, 100 * fit.before,
                            100 * found.after);
  return found;
}

Result<std::vector<double>> left_out_errors(std::span<const TransformerPoint> points,
                                            const TransformerCosts& prior, int folds) {
  std::map<std::string, std::size_t> kinds;
  for (const TransformerPoint& one : points) {
    kinds.try_emplace(layer_kernels(one.shape, one.plan), kinds.size());
  }
  const std::size_t turns = std::min(kinds.size(), static_cast<std::size_t>(std::max(folds, 0)));
  if (turns < 2) {
    return invalid_input("cross-validation needs layers of two kinds and two folds",
                         "measure another micro-batch, width or tensor degree");
  }
  std::vector<double> errors(points.size());
  for (std::size_t turn = 0; turn < turns; ++turn) {
    std::vector<TransformerPoint> rest;
    std::vector<std::size_t> left_out;
    for (std::size_t i = 0; i < points.size(); ++i) {
      if (kinds.at(layer_kernels(points[i].shape, points[i].plan)) % turns == turn) {
        left_out.push_back(i);
      } else {
        rest.push_back(points[i]);
      }
    }
    PLUTO_ASSIGN(const TransformerCalibration fit, calibrate_transformer(rest, prior));
    const LayerFactors factors(rest, fit.costs);
    for (const std::size_t i : left_out) {
      errors[i] = std::log(step_of(points[i], fit.costs, factors) / points[i].step);
    }
  }
  return errors;
}

ConstantEffect effect_of(TransformerConstant constant, std::span<const TransformerPoint> points,
                         const TransformerCosts& costs) {
  const auto index = static_cast<std::size_t>(constant);
  const double p90 = normal_quantile(0.9) * costs.spread[index];
  TransformerCosts low = costs, high = costs;
  low.value[index] *= std::exp(-p90);
  high.value[index] *= std::exp(p90);
  std::vector<double> lows, highs;
  for (const TransformerPoint& point : points) {
    const Seconds step = step_of(point, costs, {});
    lows.push_back(step_of(point, low, {}) / step - 1);
    highs.push_back(step_of(point, high, {}) / step - 1);
  }
  return {median(lows), median(highs)};
}

}  // namespace pluto
