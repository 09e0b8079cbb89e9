#include "costmodel/transformer_layer_factor.h"

#include <fmt/format.h>

#include <Eigen/Dense>
#include <array>
#include <cmath>
#include <vector>

namespace pluto {

namespace {

constexpr double kStepNoise = 0.02;
constexpr double kSmallChange = 0.01;  // of ln(layer), for the derivative

TransformerLayerCost times(double factor, TransformerLayerCost layer) {
  layer.forward *= factor;
  layer.backward *= factor;
  layer.tensor_comm *= factor;
  layer.forward_comm *= factor;
  return layer;
}

}  // namespace

std::string layer_kernels(const TransformerShape& shape, const TransformerPlan& plan) {
  std::string text = fmt::format("hidden {} ffn {} heads {} sequence {} tensor {} micro {} {}",
                                 shape.hidden, shape.ffn, shape.heads, shape.sequence, plan.tensor,
                                 plan.micro_batch, to_text(plan.precision));
  if (shape.kv_heads != shape.heads) text += fmt::format(" kv_heads {}", shape.kv_heads);
  if (shape.experts > 1) {
    text += fmt::format(" experts {} of {}", shape.experts_per_token, shape.experts);
  }
  if (plan.context > 1) text += fmt::format(" context {}", plan.context);
  if (shape.gated) text += " gated";
  if (!shape.causal) text += " both ways";
  if (plan.sequence_parallel) text += " sequence parallel";
  if (plan.overlap_tensor) text += " overlapped";
  if (plan.attention != AttentionKernel::kScores)
    text += fmt::format(" {}", to_text(plan.attention));
  if (plan.recompute != Recompute::kNone) {
    text += fmt::format(" recompute {}", to_text(plan.recompute));
  }
  return text;
}

LayerEffect layer_effect(const TransformerShape& shape, const TransformerPlan& plan,
                         const ClusterSpec& cluster, const TransformerCosts& costs) {
  const TransformerLayerCost layer = layer_cost(shape, plan, cluster, costs);
  const auto step = [&](double factor) {
    return predict_transformer(times(factor, layer), shape, plan, cluster, costs).step();
  };
  return {layer_kernels(shape, plan), plan.tensor,
          std::log(step(std::exp(kSmallChange)) / step(1)) / kSmallChange, layer.host_share};
}

LayerFactors::LayerFactors(std::span<const TransformerPoint> points,
                           const TransformerCosts& costs) {
  std::map<std::string, Eigen::Index> kernels;
  std::map<int, Eigen::Index> degrees;
  std::vector<LayerEffect> effects;
  Eigen::Index count = 0;
  const auto known = [&](auto& places, const auto& key) {
    if (places.try_emplace(key, count).second) count += 2;
  };
  for (const TransformerPoint& one : points) {
    effects.push_back(layer_effect(one.shape, one.plan, one.cluster, costs));
    known(degrees, effects.back().tensor);
    known(kernels, effects.back().kernels);
  }
  // In units of their spreads, so that a spread of 0 is no special case.
  Eigen::VectorXd spread(count);
  const auto set_spread = [&](const auto& places, double share) {
    for (const auto& [unused, place] : places) {
      spread(place) = std::sqrt(share) * costs.layer_spread;
      spread(place + 1) = std::sqrt(share) * costs.host_spread;
    }
  };
  set_spread(degrees, costs.degree_share);
  set_spread(kernels, 1 - costs.degree_share);
  Eigen::MatrixXd normal = Eigen::MatrixXd::Identity(count, count);
  Eigen::VectorXd right = Eigen::VectorXd::Zero(count);
  for (std::size_t i = 0; i < points.size(); ++i) {
    const TransformerPoint& one = points[i];
    const LayerEffect& effect = effects[i];
    const auto layer = layer_cost(one.shape, one.plan, one.cluster, costs);
    const auto step = predict_transformer(layer, one.shape, one.plan, one.cluster, costs);
    const Eigen::Index degree = degrees.at(effect.tensor);
    const Eigen::Index kernel = kernels.at(effect.kernels);
    const std::array places = {degree, degree + 1, kernel, kernel + 1};
    const std::array slopes = {effect.share, effect.share * effect.host_share};
    for (std::size_t a = 0; a < places.size(); ++a) {
      const double slope = slopes[a % 2] * spread(places[a]) / kStepNoise;
      right(places[a]) += slope * std::log(one.step / step.step()) / kStepNoise;
      for (std::size_t b = 0; b < places.size(); ++b) {
        normal(places[a], places[b]) += slope * slopes[b % 2] * spread(places[b]) / kStepNoise;
      }
    }
  }
  const Eigen::VectorXd found = spread.cwiseProduct(normal.ldlt().solve(right));
  for (const auto& [key, place] : degrees) by_degree_[key] = {found(place), found(place + 1)};
  for (const auto& [key, place] : kernels) by_kernels_[key] = {found(place), found(place + 1)};
  for (const LayerEffect& one : effects) factors_[one.kernels] = of(one);
}

double LayerFactors::of(const LayerEffect& layer) const {
  double log = 0;
  const auto add = [&](const auto& effects, const auto& key) {
    const auto found = effects.find(key);
    if (found != effects.end()) {
      log += found->second.device + found->second.host * layer.host_share;
    }
  };
  add(by_degree_, layer.tensor);
  add(by_kernels_, layer.kernels);
  return std::exp(log);
}

TransformerLayerCost measured_layer_cost(const TransformerShape& shape, const TransformerPlan& plan,
                                         const ClusterSpec& cluster, const TransformerCosts& costs,
                                         const LayerFactors& factors) {
  const TransformerLayerCost layer = layer_cost(shape, plan, cluster, costs);
  if (factors.factors().empty()) return layer;
  return times(factors.of({layer_kernels(shape, plan), plan.tensor, 1, layer.host_share}), layer);
}

TransformerStep predict_measured_layers(const TransformerShape& shape, const TransformerPlan& plan,
                                        const ClusterSpec& cluster, const TransformerCosts& costs,
                                        const LayerFactors& factors) {
  return predict_transformer(measured_layer_cost(shape, plan, cluster, costs, factors), shape, plan,
                             cluster, costs);
}

}  // namespace pluto
