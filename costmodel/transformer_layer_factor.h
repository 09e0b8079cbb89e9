#pragma once
// Layers that were measured: how far their kernels are from what the constants say.

#include <map>
#include <span>
#include <string>

#include "costmodel/transformer_calibration.h"
#include "costmodel/transformer.h"
#include "costmodel/transformer_costs.h"

namespace pluto {

/// All that decides which kernels a layer runs, in one text: widths, heads, tokens, degrees inside
/// a layer, precision, attention, recomputing. Layers, stages, data ranks and micro-batches do not.
std::string layer_kernels(const TransformerShape& shape, const TransformerPlan& plan);

/// Measured over predicted time of a layer, by its kernels.
/// Formula: ln factor = sum_i s_i r_i / n^2 / (sum_i s_i^2 / n^2 + 1 / c^2) over the measured steps
///   with these kernels; r_i = ln(measured / predicted), s_i the share of the step that grows with
///   its layers, n = 0.02 the noise of a step, c = layer_spread.
/// Source: ours; the posterior mean of a normal prior. A library chooses its kernels by their
/// sizes,
///   which no formula of ours follows: c is the spread between the 32 kinds of layers of vTrain's
///   node after a fit to all of its rows, within one of which steps differ by 0.5 to 2 %.
/// Valid for: the device the steps ran on. Ignores: layers that resemble a measured one.
/// Test: costmodel/transformer_layer_factor_test.cc.
class LayerFactors {
 public:
  LayerFactors() = default;
  /// Precondition: points that predict_transformer() accepts, steps above 0.
  LayerFactors(std::span<const TransformerPoint> points, const TransformerCosts& costs);
  /// 1 for layers that were not measured.
  double of(const TransformerShape& shape, const TransformerPlan& plan) const;
  const std::map<std::string, double>& factors() const { return factors_; }

 private:
  std::map<std::string, double> factors_;
};

/// layer_cost(), the layer times its factor: what a search keeps from plan to plan. Precondition:
/// as layer_cost().
TransformerLayerCost measured_layer_cost(const TransformerShape& shape,
                                         const TransformerPlan& plan, const ClusterSpec& cluster,
                                         const TransformerCosts& costs,
                                         const LayerFactors& factors);
/// As predict_transformer(), the layer times its factor. Precondition: check(shape, plan), a
/// cluster that is large enough and has the precision.
TransformerStep predict_measured_layers(const TransformerShape& shape, const TransformerPlan& plan,
                                        const ClusterSpec& cluster, const TransformerCosts& costs,
                                        const LayerFactors& factors);

}  // namespace pluto
