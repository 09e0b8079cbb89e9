#pragma once
// Layers that were measured: how far their kernels are from what the constants say.

#include <map>
#include <span>
#include <string>

#include "costmodel/transformer.h"
#include "costmodel/transformer_calibration.h"
#include "costmodel/transformer_costs.h"

namespace pluto {

/// All that decides which kernels a layer runs, in one text: widths, heads, tokens, degrees inside
/// a layer, precision, attention, recomputing. Layers, stages, data ranks and micro-batches do not.
std::string layer_kernels(const TransformerShape& shape, const TransformerPlan& plan);

/// Through what a step shows how its layers differ from the constants.
struct LayerEffect {
  std::string kernels;    ///< layer_kernels()
  int tensor = 1;         ///< degree
  double share = 0;       ///< d ln(step) / d ln(layer): the share that grows with its layers
  double host_share = 0;  ///< of the layer, as TransformerLayerCost has it
};
/// Precondition: a plan that predict_transformer() accepts.
LayerEffect layer_effect(const TransformerShape& shape, const TransformerPlan& plan,
                         const ClusterSpec& cluster, const TransformerCosts& costs);

/// Measured over predicted time of a layer, by its kernels.
/// Formula: ln factor = u_t + q v_t + u_k + q v_k, t the layer's tensor degree, k its kernels, q
/// the
///   share of the layer in which the device waits for its host. u and v are the posterior means
///   after ln(measured / predicted) = s (ln factor) + noise of every measured step, s the share of
///   the step that grows with its layers, the noise 0.02. Before, they are independent and normal
///   around 0, with the variances g c^2, g d^2, (1 - g) c^2, (1 - g) d^2; c = layer_spread,
///   d = host_spread, g = degree_share.
/// Source: ours; least squares with a normal prior. A library chooses its kernels by
///   their sizes, hosts disturb each other, the more the more of them meet in a collective: no
///   formula of ours follows either. Layers that wait for their host differ most.
/// Valid for: the device the steps ran on. Ignores: what kinds of different degrees share.
/// Test: costmodel/transformer_layer_factor_test.cc.
class LayerFactors {
 public:
  LayerFactors() = default;
  /// Precondition: points that predict_transformer() accepts, steps above 0.
  LayerFactors(std::span<const TransformerPoint> points, const TransformerCosts& costs);
  /// 1 where neither the layer nor another of its degree was measured.
  double of(const LayerEffect& layer) const;
  /// Of the kinds of layers that were measured.
  const std::map<std::string, double>& factors() const { return factors_; }

 private:
  /// Of the logarithm: what the device does differently, and the host.
  struct Effect {
    double device = 0, host = 0;
  };
  std::map<std::string, Effect> by_kernels_;
  std::map<int, Effect> by_degree_;
  std::map<std::string, double> factors_;
};

/// layer_cost(), the layer times its factor: what a search keeps from plan to plan. Precondition:
/// as layer_cost().
TransformerLayerCost measured_layer_cost(const TransformerShape& shape, const TransformerPlan& plan,
                                         const ClusterSpec& cluster, const TransformerCosts& costs,
                                         const LayerFactors& factors);
/// As predict_transformer(), the layer times its factor. Precondition: check(shape, plan), a
/// cluster that is large enough and has the precision.
TransformerStep predict_measured_layers(const TransformerShape& shape, const TransformerPlan& plan,
                                        const ClusterSpec& cluster, const TransformerCosts& costs,
                                        const LayerFactors& factors);

}  // namespace pluto
