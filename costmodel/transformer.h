#pragma once
// Time of a training step of a transformer in closed form: data, tensor, sequence, context and
// pipeline parallel, ZeRO, recompute. docs/cost_model.md has the card of every formula.

#include <array>

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
  double forward = 0;       ///< seconds of one layer, compute
  double backward = 0;      ///< seconds of one layer, recomputing included
  double tensor_comm = 0;   ///< exposed seconds of one layer, both directions
  double forward_comm = 0;  ///< of these, in forward
  double host_share = 0;  ///< d ln(these three together) / d ln(host's time): 1 waits for the host
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

/// Seconds of the collectives of one layer that are not hidden, and of those around the layers.
struct LayerComm {
  double forward = 0, backward = 0;  ///< of a layer; full recompute repeats forward
  double head = 0, embedding = 0;    ///< both directions
  double boundary_bytes = 0;         ///< as in TransformerLayerCost
  double boundary_gather = 0;
};
/// Seconds of the products of one layer that collectives can run beside, attention first: those
/// that read what was gathered (query, key and value; the block's first), those whose results are
/// summed (projection; the block's last), and their gradients towards the inputs.
struct LayerProducts {
  std::array<double, 2> in{}, out{}, in_gradient{}, out_gradient{};
};
LayerProducts layer_products(const TransformerShape& shape, const TransformerPlan& plan,
                             const DeviceSpec& device, const TransformerCosts& costs);

/// How far apart in the numbering the ranks of a group are; groups of data and context are one.
struct RankStrides {
  int tensor = 1, data = 1, pipeline = 1;
  /// Tensor, then context, data, pipeline: how plans number ranks.
  static RankStrides of(const TransformerPlan& plan) {
    return {1, plan.tensor, plan.tensor * plan.context * plan.data};
  }
};

/// Precondition: check(shape, plan), and the cluster has plan.devices() devices.
TransformerLayerCost layer_cost(const TransformerShape& shape, const TransformerPlan& plan,
                                const ClusterSpec& cluster, const TransformerCosts& costs);
/// The same with other collectives.
TransformerLayerCost layer_cost(const TransformerShape& shape, const TransformerPlan& plan,
                                const ClusterSpec& cluster, const TransformerCosts& costs,
                                const LayerComm& comm);
/// Seconds of one micro-batch on the slowest of `pipeline` stages, both directions, without sends.
double slowest_stage(const TransformerLayerCost& layer, const TransformerShape& shape,
                     int pipeline);
/// Step time from cached layer costs: a few dozen operations, no allocation.
TransformerStep predict_transformer(const TransformerLayerCost& layer,
                                    const TransformerShape& shape, const TransformerPlan& plan,
                                    const ClusterSpec& cluster, const TransformerCosts& costs);
/// The same with ranks numbered otherwise.
TransformerStep predict_transformer(const TransformerLayerCost& layer,
                                    const TransformerShape& shape, const TransformerPlan& plan,
                                    const RankStrides& strides, const ClusterSpec& cluster,
                                    const TransformerCosts& costs);
/// Both. Errors: those of check(), kInvalidInput when the cluster is too small, kUnsupported when
/// the device lacks the precision.
Result<TransformerStep> predict_transformer(const TransformerShape& shape,
                                            const TransformerPlan& plan, const ClusterSpec& cluster,
                                            const TransformerCosts& costs);

}  // namespace pluto
