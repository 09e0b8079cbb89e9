#pragma once
// Constants of the transformer closed form from measured steps.

#include <array>
#include <span>

#include "base/result.h"
#include "base/units.h"
#include "costmodel/transformer.h"

namespace pluto {

/// One measured step.
struct TransformerPoint {
  TransformerShape shape;
  TransformerPlan plan;
  ClusterSpec cluster;
  Seconds step;
};

struct TransformerCalibration {
  TransformerCosts costs;  ///< spread is that left after the fit
  double before = 0;       ///< median absolute relative error of the points with the prior
  double after = 0;        ///< and with the fit
  int points = 0;
  int iterations = 0;
};

/// The constants that minimise sum_i rho((ln predicted_i - ln measured_i) / noise) +
/// sum_c ((ln c - ln prior_c) / spread_c)^2, rho of Cauchy (a run disturbed by others counts less).
/// Few points move only what they tell about; the rest stays where the prior has it.
/// Errors: no point, a measured step that is not positive, those of predict_transformer().
Result<TransformerCalibration> calibrate_transformer(std::span<const TransformerPoint> points,
                                                     const TransformerCosts& prior,
                                                     double noise = 0.05);

}  // namespace pluto
