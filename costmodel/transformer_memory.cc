#include "costmodel/transformer_memory.h"

#include <algorithm>
#include <cmath>

namespace pluto {

namespace {

/// Context, kernels and communicators, by experience between 1 and 3 GiB; an allocator that rounds
/// up and cannot join holes holds a few per cent more than it hands out.
constexpr double kFrameworkBytes = 2.0 * 1024 * 1024 * 1024;
constexpr double kAllocatorWaste = 0.05;

Bytes whole(double bytes) { return Bytes(static_cast<std::int64_t>(std::llround(bytes))); }

double layers_of(const TransformerShape& shape, const TransformerPlan& plan, int stage) {
  const double most = std::ceil(static_cast<double>(shape.layers) / plan.pipeline);
  const double least = std::floor(static_cast<double>(shape.layers) / plan.pipeline);
  return std::clamp(shape.layers - most * stage, least, most);
}

}  // namespace

double layers_in_flight(const TransformerShape& shape, const TransformerPlan& plan, int stage) {
  const double p = plan.pipeline;
  const double m = plan.accumulation();
  const double layers = layers_of(shape, plan, stage);
  if (plan.pipeline == 1) return layers;
  if (plan.interleave == 1) return layers * std::min(m, p - stage);
  // All chunks of the first round, and p - 1 of the next before the first backward ends.
  const double chunk = shape.layers / (p * plan.interleave);
  const double chunks = p * plan.interleave + p - 1 - 2 * stage;
  return chunk * std::min(m * plan.interleave, std::max(chunks, 1.0));
}

double layer_activation_bytes(const TransformerShape& shape, const TransformerPlan& plan) {
  const double t = plan.tensor;
  const double outer_share = plan.sequence_parallel ? t : 1;
  const auto element = static_cast<double>(activation_bytes(plan.precision));
  const double tokens = static_cast<double>(plan.micro_batch) * shape.sequence / plan.context;
  const double h = shape.hidden;
  if (plan.recompute == Recompute::kFull) return element * tokens * h / outer_share;
  // Dropout is for models with biases: those without have left it out as well.
  const double masks = shape.biases ? 2 : 0;
  const double inputs = plan.precision == TrainPrecision::kFp8 ? 1 : element;
  const double outer = tokens * h * (2 * element + 2 * inputs + masks) / outer_share;
  const double kv = shape.kv_width();
  const double f = static_cast<double>(shape.ffn) * shape.experts_per_token;
  double inner = tokens * element * (h + kv + kv + h + (shape.gated ? 3 : 2) * f) / t;
  // Products in 8 bits keep their inputs in 8 bits; attention keeps its output in 16 beside.
  if (plan.precision == TrainPrecision::kFp8) inner += tokens * (h - f) / t;
  const bool keeps_scores =
      plan.attention == AttentionKernel::kScores && plan.recompute == Recompute::kNone;
  // Softmax, its dropout and the mask of that.
  const double scores =
      keeps_scores ? tokens * shape.sequence * shape.heads / t * (2 * element + 1) : 0;
  return outer + inner + scores;
}

TransformerMemory stage_memory(const TransformerShape& shape, const TransformerPlan& plan,
                               int stage) {
  const double t = plan.tensor;
  const bool first = stage == 0;
  const bool last = stage == plan.pipeline - 1;
  const double layers = layers_of(shape, plan, stage);
  const double h = shape.hidden;
  double held = layers * layer_parameters(shape);
  if (first) {
    held += embedding_parameters(shape) + (shape.learned_positions ? h * shape.sequence : 0);
  }
  if (last) held += 2 * h;
  if (last && (!first || !shape.tied_embedding)) held += embedding_parameters(shape);
  held /= t;

  const double replicas = static_cast<double>(plan.data) * plan.context;
  const auto element = static_cast<double>(activation_bytes(plan.precision));
  const double master = activation_bytes(plan.precision) == 4 ? 8 : 12;
  TransformerMemory memory;
  memory.weights = whole(held * element / (plan.shard >= 3 ? replicas : 1));
  memory.gradients = whole(held * std::max<double>(plan.gradient_bytes, element) /
                           (plan.shard >= 2 ? replicas : 1));
  memory.optimizer = whole(held * master / (plan.shard >= 1 ? replicas : 1));
  const double tokens = static_cast<double>(plan.micro_batch) * shape.sequence / plan.context;
  const double in_flight = layers_in_flight(shape, plan, stage);
  // Recomputing stages keep their input and their output beside the inputs of the layers, for each
  // micro-batch on the way; else the output is freed and the input is the first layer's.
  const double boundary = tokens * h * element / (plan.sequence_parallel ? t : 1);
  const bool keeps = plan.pipeline > 1 && plan.recompute == Recompute::kFull;
  const double kept = keeps ? 2 * in_flight / layers * plan.interleave * boundary : 0;
  memory.activations = whole(in_flight * layer_activation_bytes(shape, plan) + kept);
  double working = 0;
  if (plan.recompute == Recompute::kFull) {
    TransformerPlan all = plan;
    all.recompute = Recompute::kNone;
    working += layer_activation_bytes(shape, all);
  }
  // Logits in 16 and in 32 bits and their gradient; a stack of fused kernels keeps logits and
  // gradient.
  const double logit = plan.attention == AttentionKernel::kScores ? element + 4 + 4 : 2 * element;
  if (last) working = std::max(working, tokens * shape.vocabulary / t * logit);
  memory.working = whole(working);
  if (plan.shard >= 3) {
    const double unit = std::max(layer_parameters(shape), embedding_parameters(shape)) / t;
    memory.gathered = whole(unit * (2 * element + std::max<double>(plan.gradient_bytes, element)));
  }
  memory.framework = framework_bytes(memory.allocated());
  return memory;
}

Bytes framework_bytes(Bytes allocated) {
  return whole(kFrameworkBytes + kAllocatorWaste * static_cast<double>(allocated.value()));
}

Result<TransformerMemory> predict_transformer_memory(const TransformerShape& shape,
                                                     const TransformerPlan& plan) {
  PLUTO_TRY(check(shape, plan));
  return fullest_stage(shape, plan);
}

TransformerMemory fullest_stage(const TransformerShape& shape, const TransformerPlan& plan) {
  const TransformerMemory first = stage_memory(shape, plan, 0);
  if (plan.pipeline == 1) return first;
  const TransformerMemory last = stage_memory(shape, plan, plan.pipeline - 1);
  return last.reserved() > first.reserved() ? last : first;
}

TransformerMemory with_optimizer(TransformerMemory memory, const OptimizerAttrs& optimizer,
                                 const TransformerPlan& plan) {
  const auto* sgd = std::get_if<SgdAttrs>(&optimizer);
  if (sgd == nullptr) return memory;
  const double moments = sgd->momentum > 0 ? 1 : 0;
  const double master = activation_bytes(plan.precision) == 4 ? 0 : 4;
  const double share = (master + 4 * moments) / (master + 8);
  memory.optimizer = whole(share * static_cast<double>(memory.optimizer.value()));
  return memory;
}

}  // namespace pluto
