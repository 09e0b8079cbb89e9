#pragma once
// The training graph: forward, backward, accumulation and update as explicit nodes, made by one
// autodiff transform.

#include <variant>
#include <vector>

#include "base/result.h"
#include "model/graph.h"

namespace pluto {

/// SGD (with momentum when > 0) or Adam/AdamW; the attributes of every update node.
using OptimizerAttrs = std::variant<SgdAttrs, AdamAttrs>;

/// One trained tensor and what belongs to it.
struct TrainedParameter {
  TensorId parameter;
  TensorId gradient;  ///< role gradient; sum over the samples of the rank (after accumulation)
  std::vector<TensorId> state;  ///< optimizer state, same shape
  OpId update;                  ///< its update node
};

/// Phases of ops: forward and backward repeat per micro-batch; sync (collectives of a whole bucket)
/// and update run once per step, in the last one. Id order is issue order; a phase need not be
/// contiguous in it.
enum class OpPhase : std::uint8_t { kForward, kBackward, kSync, kUpdate };

struct TrainingGraph {
  ModelGraph model;  ///< the graph this was made from, untouched
  Graph graph;       ///< contains the forward ops under the same names
  TensorId loss;
  TensorId logits;
  TensorId labels;
  std::vector<TensorId> inputs;
  std::vector<OpPhase> phase;  ///< by OpId
  /// By OpId: the forward node a node belongs to. Of a forward node: itself; of a backward node:
  /// the node it differentiates; of an update: the first that reads the parameter. Invalid for what
  /// passes add for several nodes (communication).
  std::vector<OpId> origin;
  std::vector<TrainedParameter> trained;  ///< in the order backward finishes their gradients
};

/// Autodiff. Backward ops follow the forward ops in reverse order, weight gradients before data
/// gradients; fan-out becomes explicit add nodes; each parameter gets one update node at the end,
/// and the optimizer state "<parameter>.momentum" or "<parameter>.adam_m" and ".adam_v". The loss
/// is made by a loss node, or is a sum of such. Gradients are of the SUM of per-sample losses times
/// the run-time scalar loss_scale (1 / global_batch), so ranks and micro-batches just add.
/// Errors: kUnsupported naming the node whose kind has no gradient or the loss that is none;
/// kInvalidInput when the model has no loss, or naming the parameters it does not depend on.
Result<TrainingGraph> differentiate(const ModelGraph& model, const OptimizerAttrs& optimizer);

}  // namespace pluto
