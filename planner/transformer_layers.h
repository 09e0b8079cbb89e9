#pragma once
// The kinds of layers that plans of a transformer at one place can have, with what each costs.

#include <array>
#include <functional>
#include <set>
#include <span>
#include <vector>

#include "costmodel/transformer.h"
#include "plan/job.h"
#include "planner/planner.h"

namespace pluto {

/// Layers of one kind on the devices of one place.
struct PlacedLayer {
  TransformerPlan plan;  ///< tensor, context, micro-batch, flags; one rank elsewhere
  TransformerLayerCost cost;
  double device_seconds = 0;  ///< of all devices for one sample, nothing waiting
  double kept_bytes = 0;      ///< for backward, of all layers of one micro-batch
  double weight_bytes = 0;    ///< of the whole model on the devices of one stage
};

/// Whether a plan of so many ranks with such layers can fit: never false for one that does.
/// Formula: with s stages, m micro-batches and r ranks, stage 0 keeps min(m, s) micro-batches of
///   layers / s, and m = s B t c / (r micro): layers min(1, B t c / (r micro)) for every s; beside
///   it the weights of at most `layers` stages.
/// Test: planner/transformer_layers_test.cc.
bool may_fit(const PlacedLayer& layer, int layers, int ranks, double batch, double memory);

struct PlacedLayers {
  std::vector<PlacedLayer> by_time;    ///< by device_seconds; those left out that another beats
  std::vector<PlacedLayer> too_large;  ///< for all ranks and batches; without their cost
  std::set<int> inners;                ///< tensor x context of all of them
  std::array<const std::vector<PlacedLayer>*, 2> all() const { return {&by_time, &too_large}; }
};

/// All tensor degrees that divide the heads, contexts up to 16 that divide the sequence,
/// micro-batches that divide one of the batches, with and without sequence parallelism, recompute
/// and gathered parameters (ZeRO 3); what the job fixes is fixed.
///
/// A kind is left out when another of the same devices, micro-batch and gathering takes no longer
/// in any part and no more memory: then no plan with it is faster or smaller than the same plan
/// with the other. A step takes longer the longer each part of its layers takes, for what backward
/// hides of an exchange is less than what it adds. `wanted`: of one micro-batch and data rank; what
/// it turns down is no kind, nor does it beat any; unset: all are.
/// Test: planner/transformer_layers_test.cc, against all kinds.
PlacedLayers placed_layers(const TrainingJob& job, const TransformerShape& shape,
                           std::span<const int> batches, const TransformerPlace& place,
                           const std::function<bool(const TransformerPlan&)>& wanted = {});

/// Divisors of a number up to `most`, rising.
std::vector<int> divisors(int number, int most);

}  // namespace pluto
