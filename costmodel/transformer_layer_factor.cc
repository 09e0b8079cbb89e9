#include "costmodel/transformer_layer_factor.h"

#include <fmt/format.h>

#include <cmath>

namespace pluto {

namespace {

constexpr double kStepNoise = 0.02;
constexpr double kSmallChange = 0.01;  // of ln(layer), for the derivative

TransformerLayerCost times(double factor, TransformerLayerCost layer) {
  layer.forward *= factor;
  layer.backward *= factor;
  layer.tensor_comm *= factor;
  return layer;
}

TransformerStep step_with(double factor, const TransformerShape& shape, const TransformerPlan& plan,
                          const ClusterSpec& cluster, const TransformerCosts& costs) {
  const auto layer = times(factor, layer_cost(shape, plan, cluster, costs));
  return predict_transformer(layer, shape, plan, cluster, costs);
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

LayerFactors::LayerFactors(std::span<const TransformerPoint> points,
                           const TransformerCosts& costs) {
  struct Sums {
    double seen = 0, weight = 0;
  };
  std::map<std::string, Sums> sums;
  for (const TransformerPoint& one : points) {
    const auto step = [&](double factor) {
      return step_with(factor, one.shape, one.plan, one.cluster, costs).step();
    };
    const Seconds predicted = step(1);
    const double share = std::log(step(std::exp(kSmallChange)) / predicted) / kSmallChange;
    Sums& sum = sums[layer_kernels(one.shape, one.plan)];
    sum.seen += share * std::log(one.step / predicted) / (kStepNoise * kStepNoise);
    sum.weight += share * share / (kStepNoise * kStepNoise);
  }
  const double prior = 1 / (costs.layer_spread * costs.layer_spread);
  for (const auto& [kernels, sum] : sums) {
    factors_[kernels] = std::exp(sum.seen / (sum.weight + prior));
  }
}

double LayerFactors::of(const TransformerShape& shape, const TransformerPlan& plan) const {
  if (factors_.empty()) return 1;
  const auto found = factors_.find(layer_kernels(shape, plan));
  return found == factors_.end() ? 1 : found->second;
}

TransformerLayerCost measured_layer_cost(const TransformerShape& shape,
                                         const TransformerPlan& plan, const ClusterSpec& cluster,
                                         const TransformerCosts& costs,
                                         const LayerFactors& factors) {
  return times(factors.of(shape, plan), layer_cost(shape, plan, cluster, costs));
}

TransformerStep predict_measured_layers(const TransformerShape& shape, const TransformerPlan& plan,
                                        const ClusterSpec& cluster, const TransformerCosts& costs,
                                        const LayerFactors& factors) {
  return step_with(factors.of(shape, plan), shape, plan, cluster, costs);
}

}  // namespace pluto
