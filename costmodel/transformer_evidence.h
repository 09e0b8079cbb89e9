#pragma once
// What is known of one device's transformer steps: shipped constants, and calibration by what was
// measured.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "costmodel/sources.h"
#include "costmodel/transformer_calibration.h"
#include "costmodel/transformer_costs.h"
#include "costmodel/transformer_layer_factor.h"
#include "plan/cluster.h"
#include "plan/prediction.h"

namespace pluto {

/// Derived each time from measurements, never stored.
struct TransformerEvidence {
  TransformerCosts costs;
  LayerFactors factors;                      ///< of layers that were measured
  Evidence evidence = Evidence::kDatasheet;  ///< kCalibrated: by own runs, or by shipped ones
  std::vector<TransformerPoint> points;      ///< steps measured on the device, in id order
  std::int64_t watermark = 0;                ///< last measurement id used; 0: none
  double before = 0, after = 0;  ///< median error of the points with the shipped constants, and now
  std::string basis;             ///< "calibrated by 20 runs of A100 SXM 80GB (median error 3.1 %)"
};

/// Steps in `measurements` that ran on the device (by name); others are passed over. Without one,
/// the shipped constants; on a device they were not fitted to, with the spread of a datasheet.
/// Errors: those of calibrate_transformer().
Result<TransformerEvidence> transformer_evidence(std::span<const CalibrationPoint> measurements,
                                                 const DeviceSpec& device,
                                                 const TransformerCostTable& table);

/// ln(predicted / measured) of every point with constants and factors of layers found without all
/// points that run the same kernels (layer_kernels()): a layer measured with another number of
/// layers or ranks would tell the answer. Kinds of layers are left out in at most `folds` turns.
/// Fitting starts at the prior each time. Errors: those of calibrate_transformer(); kInvalidInput
/// for points of one kind or fewer than two folds.
Result<std::vector<double>> left_out_errors(std::span<const TransformerPoint> points,
                                            const TransformerCosts& prior, int folds);

/// How much a constant matters to what was measured: the median over points of the step's relative
/// change when it moves from its value to the 10 % and the 90 % point of its spread.
struct ConstantEffect {
  double low = 0, high = 0;
};
/// Precondition: points that predict_transformer() accepts, at least one.
ConstantEffect effect_of(TransformerConstant constant, std::span<const TransformerPoint> points,
                         const TransformerCosts& costs);

}  // namespace pluto
