#include "planner/transformer_layers.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include "costmodel/transformer_layer_factor.h"
#include "costmodel/transformer_memory.h"
#include "costmodel/transformer_predictor.h"

namespace pluto {

namespace {

constexpr int kMostContext = 16;
constexpr int kMostMicroBatch = 1024;
constexpr int kGathered = 3;  // the ZeRO stage whose layers run otherwise

/// The fixed value, or what could be chosen.
std::vector<int> choices(const std::optional<int>& fixed, std::vector<int> free) {
  return fixed ? std::vector<int>{*fixed} : std::move(free);
}

/// Fused attention has no scores that selective recomputing could leave out.
std::vector<Recompute> recomputing(const TrainingJob& job) {
  if (job.strategy.recompute) return {*job.strategy.recompute};
  if (job.attention != AttentionKernel::kScores) return {Recompute::kNone, Recompute::kFull};
  return {Recompute::kNone, Recompute::kSelective, Recompute::kFull};
}

std::vector<bool> sequence_choices(const StrategyChoice& choice, int tensor) {
  if (choice.sequence_parallel) return {*choice.sequence_parallel};
  return tensor > 1 ? std::vector<bool>{true, false} : std::vector<bool>{false};
}

PlacedLayer layer_of(const TransformerShape& shape, const TransformerPlan& plan) {
  PlacedLayer layer;
  layer.plan = plan;
  layer.kept_bytes = shape.layers * layer_activation_bytes(shape, plan);
  if (plan.shard == kGathered) return layer;
  layer.weight_bytes =
      parameters(shape) / plan.tensor * static_cast<double>(activation_bytes(plan.precision));
  return layer;
}

void price(PlacedLayer& layer, const TransformerShape& shape, const TransformerPlace& place) {
  const TransformerPlan& plan = layer.plan;
  layer.cost = measured_layer_cost(shape, plan, ClusterSpec{place.candidate.instance, 1},
                                   place.evidence.costs, place.evidence.factors);
  const TransformerLayerCost& cost = layer.cost;
  const double sample = shape.layers * (cost.forward + cost.backward + cost.tensor_comm) +
                        cost.head_forward + cost.head_backward + cost.head_comm + cost.embedding;
  layer.device_seconds = sample * plan.tensor * plan.context / plan.micro_batch;
}

/// Of the same devices, micro-batch and gathering.
bool beats(const PlacedLayer& a, const PlacedLayer& b) {
  // Full recompute keeps a boundary and a working layer besides.
  const bool alike = a.plan.recompute == b.plan.recompute ||
                     (a.plan.recompute < b.plan.recompute && b.plan.recompute != Recompute::kFull);
  const TransformerLayerCost &x = a.cost, &y = b.cost;
  return alike && a.plan.sequence_parallel >= b.plan.sequence_parallel &&
         a.kept_bytes <= b.kept_bytes && x.forward <= y.forward && x.backward <= y.backward &&
         x.tensor_comm <= y.tensor_comm && x.head_forward <= y.head_forward &&
         x.head_backward <= y.head_backward && x.head_comm <= y.head_comm &&
         x.embedding <= y.embedding && x.boundary_gather <= y.boundary_gather;
}

/// Micro-batches, and the smallest batch each divides.
std::map<int, double> micro_batches(const TrainingJob& job, std::span<const int> batches) {
  std::map<int, double> found;
  for (const int batch : batches) {
    const auto ways = job.micro_batch ? std::vector{static_cast<int>(*job.micro_batch)}
                                      : divisors(batch, kMostMicroBatch);
    for (const int one : ways) {
      if (batch % one != 0) continue;
      double& least = found.try_emplace(one, batch).first->second;
      least = std::min<double>(least, batch);
    }
  }
  return found;
}

}  // namespace

std::vector<int> divisors(int number, int most) {
  std::vector<int> found;
  for (int i = 1; i <= std::min(number, most); ++i) {
    if (number % i == 0) found.push_back(i);
  }
  return found;
}

bool may_fit(const PlacedLayer& layer, int layers, int ranks, double batch, double memory) {
  const TransformerPlan& plan = layer.plan;
  const double outer = static_cast<double>(ranks) / (plan.tensor * plan.context);
  const double kept = layer.kept_bytes * std::min(1.0, batch / (outer * plan.micro_batch));
  const double weights = layer.weight_bytes / std::min<double>(layers, outer);
  return kept + weights <= memory;
}

PlacedLayers placed_layers(const TrainingJob& job, const TransformerShape& shape,
                           std::span<const int> batches, const TransformerPlace& place,
                           const std::function<bool(const TransformerPlan&)>& wanted) {
  PlacedLayers layers;
  const StrategyChoice& choice = job.strategy;
  const int ranks = place.candidate.max_ranks;
  const auto memory = static_cast<double>(place.candidate.instance.node.device.memory.value());
  std::vector<PlacedLayer> ways;  // of the same devices, micro-batch and gathering
  const auto add = [&](const TransformerPlan& plan, double least_batch) {
    if (!check(shape, plan).ok() || (wanted && !wanted(plan))) return;
    PlacedLayer layer = layer_of(shape, plan);
    // One layer alone.
    if (layer.kept_bytes / shape.layers > memory) return;
    if (!may_fit(layer, shape.layers, ranks, least_batch, memory)) {
      layers.too_large.push_back(std::move(layer));
      return;
    }
    price(layer, shape, place);
    if (std::ranges::any_of(ways, [&](const PlacedLayer& one) { return beats(one, layer); })) {
      return;
    }
    ways.push_back(std::move(layer));
  };
  std::vector<int> contexts;
  for (int c = 1; c <= kMostContext; c *= 2) {
    if (shape.sequence % c == 0) contexts.push_back(c);
  }
  const auto sizes = micro_batches(job, batches);
  TransformerPlan kind;
  kind.precision = job.precision;
  kind.attention = job.attention;
  kind.overlap_data = true;
  kind.gradient_bytes = kTransformerGradientBytes;
  for (const int tensor : choices(choice.tensor, divisors(shape.heads, ranks))) {
    kind.tensor = tensor;
    for (const int context : choices(choice.context, contexts)) {
      kind.context = context;
      for (const auto& [micro_batch, least_batch] : sizes) {
        kind.micro_batch = kind.global_batch = micro_batch;
        // Gradients of ZeRO 3 leave in every micro-batch: its layers add none up.
        for (const int shard : {0, kGathered}) {
          if (shard != 0 && choice.shard.value_or(shard) != shard) continue;
          kind.shard = shard;
          ways.clear();
          for (const bool sequence : sequence_choices(choice, tensor)) {
            kind.sequence_parallel = sequence;
            for (const Recompute recompute : recomputing(job)) {
              kind.recompute = recompute;
              add(kind, least_batch);
            }
          }
          std::ranges::move(ways, std::back_inserter(layers.by_time));
        }
      }
    }
  }
  for (const auto* some : layers.all()) {
    for (const PlacedLayer& layer : *some) {
      layers.inners.insert(layer.plan.tensor * layer.plan.context);
    }
  }
  std::ranges::stable_sort(layers.by_time, {}, &PlacedLayer::device_seconds);
  return layers;
}

}  // namespace pluto
