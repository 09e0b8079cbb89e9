#pragma once
// Memory of a training step of a transformer, by category, for the fullest pipeline stage.

#include "base/units.h"
#include "model/training_graph.h"
#include "plan/transformer_shape.h"

namespace pluto {

/// Bytes on one device. The first six are what the framework allocates.
struct TransformerMemory {
  Bytes weights;  ///< 16-bit copies that compute uses
  Bytes gradients;
  Bytes optimizer;    ///< 32-bit weights and two moments
  Bytes activations;  ///< kept for backward, of all micro-batches in flight
  Bytes working;      ///< logits and their gradient, one layer being recomputed
  Bytes gathered;     ///< parameters of layers in use, under ZeRO 3
  Bytes framework;    ///< context, libraries, communicators and what the allocator holds in vain
  Bytes allocated() const {
    return weights + gradients + optimizer + activations + working + gathered;
  }
  Bytes reserved() const { return allocated() + framework; }
};

/// Bytes kept of one layer for backward, one micro-batch (Korthikanti et al. 2022, table 2; fused
/// attention keeps no scores).
double layer_activation_bytes(const TransformerShape& shape, const TransformerPlan& plan);
/// Layers whose activations stage `stage` keeps at its fullest, once per micro-batch in flight:
/// under 1F1B its layers x (pipeline - stage), interleaved layers (1 + (pipeline - 1) / (pipeline
/// interleave)) in the first stage (Korthikanti et al. 2022, section 4.2.3). Precondition: check.
double layers_in_flight(const TransformerShape& shape, const TransformerPlan& plan, int stage);
/// What a framework holds besides what it handed out.
Bytes framework_bytes(Bytes allocated);
/// Of stage `stage` (0 = first). Precondition: check(shape, plan), 0 <= stage < pipeline.
TransformerMemory stage_memory(const TransformerShape& shape, const TransformerPlan& plan,
                               int stage);
/// Of the stage that holds most: the first, which keeps most micro-batches and the token table, or
/// the last, which has the logits; those between hold less than the first. Precondition: check.
TransformerMemory fullest_stage(const TransformerShape& shape, const TransformerPlan& plan);
/// The same with another optimizer's state: stage_memory() counts Adam's two moments; SGD has one
/// or none.
TransformerMemory with_optimizer(TransformerMemory memory, const OptimizerAttrs& optimizer,
                                 const TransformerPlan& plan);
/// fullest_stage(). Errors: those of check().
Result<TransformerMemory> predict_transformer_memory(const TransformerShape& shape,
                                                     const TransformerPlan& plan);

}  // namespace pluto
