#include "costmodel/transformer_execution.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "costmodel/transformer_links.h"

namespace pluto {

namespace {

constexpr int kLeastLayersToOffload = 3;
constexpr double kLayersOnDevice = 2;  // of what is offloaded: one in use, one on its way

bool offloads(const TransformerExecution& execution) {
  return execution.offload_weights || execution.offload_activations || execution.offload_optimizer;
}

double optimizer_bytes(const TransformerPlan& plan, double parameters) {
  const double each = activation_bytes(plan.precision) == 4 ? 8 : 12;
  return parameters * each / (plan.shard >= 1 ? plan.data * plan.context : 1);
}

/// Kept of one layer and micro-batch.
double kept_bytes(const TransformerShape& shape, const TransformerPlan& plan,
                  const TransformerExecution& execution) {
  double kept = layer_activation_bytes(shape, plan);
  if (plan.sequence_parallel && !execution.gather_again) {
    const double tokens = static_cast<double>(plan.micro_batch) * shape.sequence;
    kept += 2 * tokens * shape.hidden * static_cast<double>(activation_bytes(plan.precision)) *
            (1 - 1.0 / plan.tensor);
  }
  return kept;
}

/// Seen of a collective beside a product, in `pieces`.
double seen(TensorOverlap overlap, double comm, double product, int pieces, double slowdown) {
  if (overlap == TensorOverlap::kNone) return comm;
  const double rest = static_cast<double>(pieces - 1) / pieces;
  const double both = rest * (std::max(0.0, comm - product) + slowdown * std::min(comm, product));
  return overlap == TensorOverlap::kPipe ? both + comm / pieces : both;
}

LayerComm comm_of(const TransformerShape& shape, const TransformerPlan& plan,
                  const TransformerExecution& execution, const RankStrides& strides,
                  const ClusterSpec& cluster, const TransformerCosts& costs) {
  LayerComm comm;
  const double tokens = static_cast<double>(plan.micro_batch) * shape.sequence;
  const double activations =
      tokens * shape.hidden * static_cast<double>(activation_bytes(plan.precision));
  comm.boundary_bytes = activations;
  if (plan.tensor == 1) return comm;
  const TransformerLinks links(cluster, costs);
  const double sum = links.all_reduce(activations, plan.tensor, strides.tensor);
  const double slow = costs[TransformerConstant::kOverlapSlowdown];
  const LayerProducts products = layer_products(shape, plan, cluster.instance.node.device, costs);
  const auto each = [&](double collective, const std::array<double, 2>& beside) {
    return seen(execution.overlap, collective, beside[0], plan.tensor, slow) +
           seen(execution.overlap, collective, beside[1], plan.tensor, slow);
  };
  if (execution.exchange == TensorExchange::kSequence) {
    comm.forward = each(sum / 2, products.in) + each(sum / 2, products.out);
    comm.backward =
        each(sum / 2, products.out_gradient) + (execution.gather_again ? 2 : 1) * slow * sum;
  } else {
    comm.forward = each(sum, products.out);
    comm.backward = each(sum, products.in_gradient);
  }
  comm.head = 2 * sum;
  comm.embedding = sum;
  if (execution.exchange != TensorExchange::kAllReduce) comm.boundary_bytes /= plan.tensor;
  if (execution.exchange == TensorExchange::kScatteredSends) {
    // A sum is a scatter and a gather; only a tree makes it sooner.
    comm.boundary_gather =
        std::max(0.0, 2 * links.gather(activations, plan.tensor, strides.tensor) - sum);
  }
  return comm;
}

}  // namespace

std::optional<RankStrides> strides_of(const TransformerPlan& plan,
                                      const TransformerExecution& execution, int devices) {
  struct Level {
    int degree;
    bool inside;
    int RankStrides::*stride;
  };
  const std::array levels = {
      Level{plan.tensor, execution.tensor_inside, &RankStrides::tensor},
      Level{plan.data, execution.data_inside, &RankStrides::data},
      Level{plan.pipeline, execution.pipeline_inside, &RankStrides::pipeline}};
  RankStrides strides;
  int next = 1;
  for (const bool inside : {true, false}) {
    for (const Level& level : levels) {
      if (level.inside != inside) continue;
      strides.*level.stride = next;
      next *= level.degree;
    }
    if (inside && devices % next != 0) return std::nullopt;
  }
  return strides;
}

Result<void> check(const TransformerShape& shape, const TransformerPlan& plan,
                   const TransformerExecution& execution) {
  PLUTO_TRY(check(shape, plan));
  if (plan.context != 1) {
    return invalid_input(fmt::format("context is {}", plan.context), "this way has none: use 1");
  }
  if (shape.layers % plan.pipeline != 0) {
    return invalid_input(fmt::format("pipeline is {}", plan.pipeline),
                         fmt::format("use a divisor of the {} layers", shape.layers));
  }
  if (offloads(execution) && shape.layers / plan.pipeline < kLeastLayersToOffload) {
    return invalid_input(
        fmt::format("offload: a stage has {} layers, two of which stay",
                    shape.layers / plan.pipeline),
        fmt::format("use at most {} stages", shape.layers / kLeastLayersToOffload));
  }
  const bool sequence = execution.exchange == TensorExchange::kSequence;
  if (plan.sequence_parallel != sequence) {
    return invalid_input("sequence_parallel is not what the exchange says",
                         "set it where the exchange is kSequence, and only there");
  }
  if (!execution.gather_again && (!sequence || plan.recompute == Recompute::kFull)) {
    return invalid_input("gather_again is off where nothing gathered could be kept",
                         "keep it on without sequence parallelism and with full recompute");
  }
  if (execution.offload_activations && plan.recompute == Recompute::kFull) {
    return invalid_input("offload_activations: full recompute keeps none",
                         "offload or recompute them, not both");
  }
  if (execution.overlap != TensorOverlap::kNone && plan.tensor == 1) {
    return invalid_input("overlap without tensor parallelism", "use kNone or tensor above 1");
  }
  return {};
}

TransformerLayerCost layer_cost(const TransformerShape& shape, const TransformerPlan& plan,
                                const TransformerExecution& execution, const RankStrides& strides,
                                const HostMemory& host, const ClusterSpec& cluster,
                                const TransformerCosts& costs) {
  TransformerLayerCost layer = layer_cost(shape, plan, cluster, costs,
                                          comm_of(shape, plan, execution, strides, cluster, costs));
  const double weights =
      execution.offload_weights
          ? layer.layer_parameters * static_cast<double>(activation_bytes(plan.precision))
          : 0;
  const double kept = execution.offload_activations ? kept_bytes(shape, plan, execution) : 0;
  const double bandwidth = host.bandwidth.value();
  layer.forward = std::max(layer.forward, std::max(weights, kept) / bandwidth - layer.forward_comm);
  layer.backward = std::max(
      layer.backward, (weights + kept) / bandwidth - (layer.tensor_comm - layer.forward_comm));
  return layer;
}

TransformerStep predict_execution(const TransformerLayerCost& layer, const TransformerShape& shape,
                                  const TransformerPlan& plan,
                                  const TransformerExecution& execution, const RankStrides& strides,
                                  const HostMemory& host, const ClusterSpec& cluster,
                                  const TransformerCosts& costs) {
  TransformerStep step = predict_transformer(layer, shape, plan, strides, cluster, costs);
  const int p = plan.pipeline;
  const int m = plan.accumulation();
  if (plan.interleave > 1 && m % p != 0) {
    const double chunks = plan.interleave;
    const double one = slowest_stage(layer, shape, p) + step.pipeline_comm.value() / m;
    step.bubble += Seconds((chunks - 1) * (p - m % p) * one / chunks);
  }
  if (execution.offload_optimizer) {
    const double held = static_cast<double>(shape.layers) / p * layer.layer_parameters;
    const Seconds copied(optimizer_bytes(plan, held) / host.bandwidth.value());
    step.update = std::max(step.update, copied);
  }
  return step;
}

ExecutionMemory execution_memory(const TransformerShape& shape, const TransformerPlan& plan,
                                 const TransformerExecution& execution) {
  const double layers = static_cast<double>(shape.layers) / plan.pipeline;
  const double parameters = layer_parameters(shape) / plan.tensor;
  const double kept = kept_bytes(shape, plan, execution);
  const double added = kept - layer_activation_bytes(shape, plan);
  ExecutionMemory most;
  for (const int stage : {0, plan.pipeline - 1}) {
    const double in_flight = layers_in_flight(shape, plan, stage);
    double change = in_flight * added, host = 0;
    const auto offload = [&](bool wanted, double each, double count) {
      if (!wanted) return;
      host += each * count;
      change -= each * std::max(0.0, count - kLayersOnDevice);
    };
    offload(execution.offload_weights,
            parameters * static_cast<double>(activation_bytes(plan.precision)), layers);
    offload(execution.offload_optimizer, optimizer_bytes(plan, parameters), layers);
    offload(execution.offload_activations, kept, in_flight);
    const double allocated =
        static_cast<double>(stage_memory(shape, plan, stage).allocated().value()) + change;
    const Bytes whole(std::llround(allocated));
    most.device = std::max(most.device, whole + framework_bytes(whole));
    most.host = std::max(most.host, Bytes(std::llround(host)));
  }
  return most;
}

}  // namespace pluto
