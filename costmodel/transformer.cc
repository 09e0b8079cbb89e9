#include "costmodel/transformer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "costmodel/transformer_links.h"

namespace pluto {

namespace {

using C = TransformerConstant;

/// Operators a framework launches per layer: normalisations, products, biases, views that copy,
/// dropout, and in backward two products for each and the sums of the biases.
constexpr double kForwardOps = 30;
constexpr double kBackwardOps = 46;
/// Two collectives of a direction, with their streams and events.
constexpr double kCollectiveOps = 10;
constexpr double kHeadOps = 26;
constexpr double kEmbeddingOps = 16;
/// Gradients of normalisation, dropout and activation move so many times the bytes of forward.
constexpr double kBackwardTraffic = 1.6;
/// Tensor cores want rows of 16 bytes: a head whose depth is no multiple of 8 runs without them.
constexpr int kAlignedDepth = 8;
constexpr double kUnalignedAttention = 14;
/// An output layer whose vocabulary is no multiple of 8 still has aligned rows in two of three
/// operands.
constexpr double kUnalignedVocabulary = 3;

/// The slower of host and device; where they are close each delays the other.
double slower(double host, double device) {
  const double a = host * host;
  const double b = device * device;
  return std::sqrt(std::sqrt(a * a + b * b));
}

double peak_of(const DeviceSpec& device, TrainPrecision precision) {
  const auto rate = [&](DType dtype) {
    const auto found = device.peak.find(dtype);
    return found == device.peak.end() ? 0.0 : found->second.value();
  };
  switch (precision) {
    case TrainPrecision::kF32:
      return rate(DType::kF32);
    case TrainPrecision::kTf32:
      return device.tf32_peak ? device.tf32_peak->value() : rate(DType::kF32);
    case TrainPrecision::kFp16:
      return rate(DType::kF16);
    case TrainPrecision::kBf16:
    case TrainPrecision::kFp8:
      return rate(DType::kBF16);
  }
  return 0;
}

struct Kernels {
  double flops_per_second;
  double fused_flops_per_second;
  double bytes_per_second;
  double ramp_elements;
  double ramp_depth;
  double bytes_per_element;

  Kernels(const TransformerPlan& plan, const DeviceSpec& device, const TransformerCosts& costs) {
    const double peak = peak_of(device, plan.precision);
    // In 8 bits the products gain less than the peak does; attention stays in 16.
    flops_per_second = peak * costs[C::kGemmFraction] *
                       (plan.precision == TrainPrecision::kFp8 ? costs[C::kFp8Gain] : 1);
    fused_flops_per_second =
        peak * costs[C::kAttentionFraction] *
        (plan.attention == AttentionKernel::kFlash2 ? costs[C::kFlash2Gain] : 1);
    bytes_per_second = device.memory_bandwidth.value() * costs[C::kElementFraction];
    ramp_elements = costs[C::kGemmRampElements];
    ramp_depth = costs[C::kGemmRampDepth];
    bytes_per_element = static_cast<double>(activation_bytes(plan.precision));
  }
  double product(double m, double n, double k) const {
    return 2 * (k + ramp_depth) * (m * n + ramp_elements) / flops_per_second;
  }
  /// Forward once; backward towards the input and towards the weights.
  double product_backward(double m, double n, double k) const {
    return product(m, k, n) + product(k, n, m);
  }
  double traffic(double halves) const { return halves * bytes_per_element / bytes_per_second; }
};

struct Pass {
  double forward = 0;
  double backward = 0;
  double selective = 0;  ///< what selective recompute repeats
};

Pass device_time(const TransformerShape& shape, const TransformerPlan& plan, const Kernels& k) {
  const double t = plan.tensor;
  const double tokens = static_cast<double>(plan.micro_batch) * shape.sequence / plan.context;
  const double h = shape.hidden;
  const double f = shape.ffn * static_cast<double>(shape.experts_per_token);
  const double qkv = h + 2.0 * shape.kv_width();
  Pass pass;
  const auto linear = [&](double inner, double outer) {
    pass.forward += k.product(tokens, outer, inner);
    pass.backward += k.product_backward(tokens, outer, inner);
  };
  linear(h, qkv / t);
  linear(h / t, h);
  linear(h, (shape.gated ? 2 : 1) * f / t);
  linear(f / t, h);

  const double scores = tokens * shape.sequence * shape.heads / t;
  const double depth = h / shape.heads;
  if (plan.attention != AttentionKernel::kScores) {
    // Causal: half of the scores; backward recomputes them: five products instead of two.
    const double forward = (shape.causal ? 2 : 4) * scores * depth / k.fused_flops_per_second;
    pass.forward += forward;
    pass.backward += 2.5 * forward;
  } else {
    // Batched products (scores, then context) and softmax, dropout and masks on the scores.
    const double unaligned =
        shape.hidden / shape.heads % kAlignedDepth != 0 ? kUnalignedAttention : 1;
    const double products =
        unaligned * (k.product(scores, 1, depth) + 2 * scores * depth / k.flops_per_second);
    const double bytes = k.traffic(6.5 * scores);
    pass.forward += products + bytes;
    pass.backward += 2 * products + kBackwardTraffic * bytes;
    pass.selective = products + bytes;
  }
  // In elements moved: normalisation 2 x 2, dropout and residual 2 x 3.5, on every tensor rank
  // alike without sequence parallelism; activation 2 (gated 3), copies of queries, keys and
  // values 2. The stacks with the second fused attention add and normalise at once, 2 x 4, and copy
  // nothing.
  const bool fused = plan.attention == AttentionKernel::kFlash2;
  const double outer = (fused ? 8 : 11) * tokens * h / (plan.sequence_parallel ? t : 1);
  const double inner = tokens * ((shape.gated ? 3 : 2) * f + (fused ? 0 : 2 * qkv)) / t;
  pass.forward += k.traffic(outer + inner);
  pass.backward += kBackwardTraffic * k.traffic(outer + inner);
  return pass;
}

}  // namespace

FlopsPerSecond peak_rate(const DeviceSpec& device, TrainPrecision precision) {
  const double peak = peak_of(device, precision);
  if (precision != TrainPrecision::kFp8) return FlopsPerSecond(peak);
  return device.f8_peak.value_or(FlopsPerSecond(2 * peak));
}

LayerProducts layer_products(const TransformerShape& shape, const TransformerPlan& plan,
                             const DeviceSpec& device, const TransformerCosts& costs) {
  const Kernels k(plan, device, costs);
  const double t = plan.tensor;
  const double tokens = static_cast<double>(plan.micro_batch) * shape.sequence / plan.context;
  const double h = shape.hidden;
  const double qkv = h + 2.0 * shape.kv_width();
  const double f = shape.ffn * static_cast<double>(shape.experts_per_token);
  const double first = (shape.gated ? 2 : 1) * f / t;
  LayerProducts products;
  products.in = {k.product(tokens, qkv / t, h), k.product(tokens, first, h)};
  products.out = {k.product(tokens, h, h / t), k.product(tokens, h, f / t)};
  products.in_gradient = {k.product(tokens, h, qkv / t), k.product(tokens, h, first)};
  products.out_gradient = {k.product(tokens, h / t, h), k.product(tokens, f / t, h)};
  return products;
}

namespace {

/// As frameworks run it.
LayerComm layer_comm(const TransformerShape& shape, const TransformerPlan& plan,
                     const ClusterSpec& cluster, const TransformerCosts& costs) {
  const double t = plan.tensor;
  const double tokens = static_cast<double>(plan.micro_batch) * shape.sequence / plan.context;
  const auto element = static_cast<double>(activation_bytes(plan.precision));
  const double activations = tokens * shape.hidden * element;
  const TransformerLinks links(cluster, costs);
  const double exposed = plan.overlap_tensor ? costs[C::kTensorExposed] : 1;
  const double collective =
      plan.tensor > 1 ? exposed * links.all_reduce(activations, plan.tensor, 1) : 0;
  LayerComm comm;
  comm.forward = 2 * collective;
  // Sequence parallel stacks scatter under the product of the weight gradient and gather inputs
  // again under that of the input gradient: those two only slow it down.
  comm.backward = (plan.sequence_parallel ? 1 + 2 * costs[C::kOverlapSlowdown] : 2) * collective;
  if (plan.context > 1) {
    // Keys and values travel round the ring, in backward with their gradients.
    const double bytes = 2 * tokens * shape.kv_width() / t * element * plan.context;
    const double ring = costs[C::kTensorExposed] * links.gather(bytes, plan.context, plan.tensor);
    comm.forward += ring;
    comm.backward += 2 * ring;
  }
  comm.head = 2 * collective;
  comm.embedding = collective;
  // Tensor ranks hold the same boundary: each sends its share, the other side gathers.
  comm.boundary_bytes = activations / t;
  comm.boundary_gather =
      plan.tensor > 1 && !plan.sequence_parallel ? links.gather(activations, plan.tensor, 1) : 0;
  return comm;
}

}  // namespace

TransformerLayerCost layer_cost(const TransformerShape& shape, const TransformerPlan& plan,
                                const ClusterSpec& cluster, const TransformerCosts& costs) {
  return layer_cost(shape, plan, cluster, costs, layer_comm(shape, plan, cluster, costs));
}

TransformerLayerCost layer_cost(const TransformerShape& shape, const TransformerPlan& plan,
                                const ClusterSpec& cluster, const TransformerCosts& costs,
                                const LayerComm& comm) {
  const auto& node = cluster.instance.node;
  const Kernels k(plan, node.device, costs);
  const double t = plan.tensor;
  const double tokens = static_cast<double>(plan.micro_batch) * shape.sequence / plan.context;
  const double h = shape.hidden;
  const double host = costs[C::kHostPerOp];
  const double floor = costs[C::kKernelFloor];
  TransformerLayerCost cost;

  const Pass pass = device_time(shape, plan, k);
  const double collective_ops = plan.tensor > 1 ? kCollectiveOps : 0;
  // A weight gradient is added to the sum of the micro-batches, widened first where the sum is
  // wider; sharded gradients leave at once.
  const double widen =
      plan.gradient_bytes > k.bytes_per_element ? k.bytes_per_element + plan.gradient_bytes : 0;
  const double accumulate =
      plan.shard == 3
          ? 0
          : layer_parameters(shape) / t * (3 * plan.gradient_bytes + widen) / k.bytes_per_second;
  struct Direction {
    double compute;
    double comm;
    double waits;  ///< seconds of both that follow the host
  };
  // Collectives are device work: a slow host hides them.
  const auto direction = [&](double ops, double device, double collectives) {
    const double busy = device + ops * floor;
    const double alone = slower(ops * host, busy);
    const double both = slower(ops * host, busy + collectives);
    const double share = ops * host / both;
    return Direction{alone, both - alone, both * share * share * share * share};
  };
  const Direction forward = direction(kForwardOps + collective_ops, pass.forward, comm.forward);
  const Direction backward =
      direction(kBackwardOps + collective_ops, pass.backward + accumulate, comm.backward);
  cost.forward = forward.compute;
  cost.backward = backward.compute;
  cost.forward_comm = forward.comm;
  cost.tensor_comm = forward.comm + backward.comm;
  double waits = forward.waits + backward.waits;
  if (plan.recompute == Recompute::kFull) {
    cost.backward += forward.compute;
    cost.tensor_comm += forward.comm;
    waits += forward.waits;
  }
  if (plan.recompute == Recompute::kSelective) cost.backward += pass.selective + 8 * floor;
  cost.host_share = waits / (cost.forward + cost.backward + cost.tensor_comm);

  const double v = shape.vocabulary / t;
  // What is cut among tensor ranks is padded first.
  const double rough =
      plan.tensor == 1 && shape.vocabulary % kAlignedDepth != 0 ? kUnalignedVocabulary : 1;
  // Loss in 32 bits: maximum, difference, exponential, sum, and the gradient back to 16 bits.
  cost.head_forward =
      direction(kHeadOps / 2, rough * k.product(tokens, v, h) + k.traffic(9 * tokens * v), 0)
          .compute;
  cost.head_backward =
      direction(kHeadOps / 2, rough * k.product_backward(tokens, v, h) + k.traffic(6 * tokens * v),
                0)
          .compute;
  cost.head_comm = comm.head;
  cost.embedding = direction(kEmbeddingOps, k.traffic(10 * tokens * h), 0).compute + comm.embedding;
  cost.boundary_bytes = comm.boundary_bytes;
  cost.boundary_gather = comm.boundary_gather;
  cost.layer_parameters = layer_parameters(shape) / t;
  cost.embedding_parameters = embedding_parameters(shape) / t;
  return cost;
}

double slowest_stage(const TransformerLayerCost& layer, const TransformerShape& shape,
                     int pipeline) {
  const double layers = shape.layers;
  const double most = std::ceil(layers / pipeline);
  const double one = layer.forward + layer.backward + layer.tensor_comm;
  const double head = layer.head_forward + layer.head_backward + layer.head_comm;
  if (pipeline == 1) return layers * one + head + layer.embedding;
  // The last stage has the output layer; a planner that can gives it no layer more than others.
  const double before = most * (pipeline - 1);
  const double last = layers - before >= 1 ? layers - before : most;
  return std::max(most * one + layer.embedding, last * one + head);
}

TransformerStep predict_transformer(const TransformerLayerCost& layer,
                                    const TransformerShape& shape, const TransformerPlan& plan,
                                    const ClusterSpec& cluster, const TransformerCosts& costs) {
  return predict_transformer(layer, shape, plan, RankStrides::of(plan), cluster, costs);
}

TransformerStep predict_transformer(const TransformerLayerCost& layer,
                                    const TransformerShape& shape, const TransformerPlan& plan,
                                    const RankStrides& strides, const ClusterSpec& cluster,
                                    const TransformerCosts& costs) {
  const TransformerLinks links(cluster, costs);
  const int p = plan.pipeline;
  const double chunks = plan.interleave;
  const double m = plan.accumulation();
  const double layers = shape.layers;
  const double most = std::ceil(layers / p);

  // One micro-batch on the busiest stage, and summed over all stages.
  const double one = layer.forward + layer.backward + layer.tensor_comm;
  const double head = layer.head_forward + layer.head_backward + layer.head_comm;
  const double all = layers * one + head + layer.embedding;
  const double slowest = slowest_stage(layer, shape, p);
  const int apart = strides.pipeline;
  const double send =
      p > 1 ? links.send(layer.boundary_bytes, apart, apart * p) + layer.boundary_gather : 0;
  const double sends = 2 * chunks * send;

  TransformerStep step;
  const double comm_share = (layers * layer.tensor_comm + layer.head_comm) / p;
  const double mean = all / p;
  step.tensor_comm = Seconds(m * comm_share);
  step.compute = Seconds(m * (mean - comm_share));
  step.pipeline_comm = Seconds(m * sends);
  step.bubble = Seconds(m * (slowest - mean) + (all - slowest) / chunks + (p - 1) * sends / chunks);

  // Parameters of the fullest stage; gradients of tied embeddings are summed over two stages.
  const double held = most * layer.layer_parameters + layer.embedding_parameters;
  const int replicas = plan.data * plan.context;
  double data_comm = 0;
  if (replicas > 1) {
    const int stride = strides.data;
    const double gradients = held * plan.gradient_bytes;
    const double weights = held * 2;
    const double backward = (layers / p) * layer.backward;
    const double slow = costs[C::kOverlapSlowdown];
    const auto exposed = [&](double comm, double under) {
      return plan.overlap_data ? std::max(0.0, comm - under) + slow * std::min(comm, under) : comm;
    };
    if (plan.shard < 3) {
      const double exchange = plan.shard == 0 ? links.all_reduce(gradients, replicas, stride)
                                              : links.gather(gradients, replicas, stride) +
                                                    links.gather(weights, replicas, stride);
      data_comm = exposed(exchange, backward);
    } else {
      const double units = layers / p + 1;
      const double forward = (layers / p) * layer.forward;
      const double gather = units * links.gather(weights / units, replicas, stride);
      const double scatter = units * links.gather(gradients / units, replicas, stride);
      data_comm = m * (exposed(gather, forward) + exposed(gather + scatter, backward));
    }
  }
  if (p > 1 && shape.tied_embedding) {
    data_comm +=
        links.send(layer.embedding_parameters * plan.gradient_bytes, apart * (p - 1), apart * p);
  }
  step.data_comm = Seconds(data_comm);
  const double owned = plan.shard >= 1 ? held / replicas : held;
  step.update =
      Seconds(owned * costs[C::kUpdateBytes] /
              cluster.instance.node.device.memory_bandwidth.value() / costs[C::kElementFraction]);
  step.fixed = Seconds(costs[C::kStepFixed]);
  return step;
}

Result<TransformerStep> predict_transformer(const TransformerShape& shape,
                                            const TransformerPlan& plan, const ClusterSpec& cluster,
                                            const TransformerCosts& costs) {
  PLUTO_TRY(check(shape, plan));
  if (plan.devices() > cluster.devices()) {
    return invalid_input(fmt::format("the plan needs {} devices, the cluster has {}",
                                     plan.devices(), cluster.devices()),
                         "rent more nodes or shrink data, tensor, pipeline or context");
  }
  const auto& device = cluster.instance.node.device;
  if (!(peak_of(device, plan.precision) > 0)) {
    return unsupported(
        fmt::format("{} has no peak rate for {}", device.name, to_text(plan.precision)),
        "choose another precision");
  }
  return predict_transformer(layer_cost(shape, plan, cluster, costs), shape, plan, cluster, costs);
}

}  // namespace pluto
