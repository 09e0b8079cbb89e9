#pragma once
// Time of a training step of a transformer in closed form: data, tensor, sequence, context and
// pipeline parallel, ZeRO, recompute. docs/cost_model.md has the card of every formula.

#include "base/units.h"
#include "costmodel/transformer_costs.h"
#include "plan/cluster.h"
#include "plan/transformer_shape.h"

namespace pluto {

/// A step, split. step() is the sum.
struct TransformerStep {
  Seconds compute;        ///< operators of the mean stage, all micro-batches
  Seconds tensor_comm;    ///< exposed collectives inside layers (tensor, sequence, context)
  Seconds pipeline_comm;  ///< exposed sends between stages
  Seconds data_comm;      ///< exposed exchange of gradients and parameters
  Seconds bubble;         ///< stages that wait: fill, drain and uneven stages
  Seconds update;         ///< optimizer
  Seconds fixed;          ///< what depends on nothing
  Seconds exposed_comm() const { return tensor_comm + pipeline_comm + data_comm; }
  Seconds step() const {
    return compute + tensor_comm + pipeline_comm + data_comm + bubble + update + fixed;
  }
};

/// What one micro-batch costs on one device, whatever the numbers of data-parallel ranks, stages
/// and micro-batches are: computed once per (shape, micro_batch, tensor, context, flags), reused.
struct TransformerLayerCost {
  double forward = 0;      ///< seconds of one layer, compute
  double backward = 0;     ///< seconds of one layer, recomputing included
  double tensor_comm = 0;  ///< exposed seconds of one layer, both directions
  double host_share = 0;   ///< d ln(these three together) / d ln(host's time): 1 waits for the host
  double head_forward = 0;  ///< output layer and loss
  double head_backward = 0;
  double head_comm = 0;
  double embedding = 0;             ///< both directions
  double boundary_bytes = 0;        ///< sent to the next stage per micro-batch, one direction
  double boundary_gather = 0;       ///< seconds to have it whole on every tensor rank
  double layer_parameters = 0;      ///< per device
  double embedding_parameters = 0;  ///< per device
};

/// Dense peak of products in this precision; of 8 bits twice that of bf16 where the datasheet has
/// no figure. 0: the device does not have it.
FlopsPerSecond peak_rate(const DeviceSpec& device, TrainPrecision precision);

/// Precondition: check(shape, plan), and the cluster has plan.devices() devices.
TransformerLayerCost layer_cost(const TransformerShape& shape, const TransformerPlan& plan,
                                const ClusterSpec& cluster, const TransformerCosts& costs);
/// Step time from cached layer costs: a few dozen operations, no allocation.
TransformerStep predict_transformer(const TransformerLayerCost& layer,
                                    const TransformerShape& shape, const TransformerPlan& plan,
                                    const ClusterSpec& cluster, const TransformerCosts& costs);
/// Both. Errors: those of check(), kInvalidInput when the cluster is too small, kUnsupported when
/// the device lacks the precision.
Result<TransformerStep> predict_transformer(const TransformerShape& shape,
                                            const TransformerPlan& plan, const ClusterSpec& cluster,
                                            const TransformerCosts& costs);

}  // namespace pluto
