#include "costmodel/transformer_predictor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "costmodel/run_cost.h"
#include "costmodel/uncertainty.h"

namespace pluto {

namespace {

MemoryBreakdown breakdown_of(const TransformerMemory& memory) {
  MemoryBreakdown parts;
  parts.parameters = memory.weights;
  parts.gradients = memory.gradients;
  parts.optimizer_state = memory.optimizer;
  parts.activations = memory.activations;
  parts.workspace = memory.working;
  parts.communication = memory.gathered;
  return parts;
}

std::vector<std::string> assumptions_of(const TransformerShape& shape, const TransformerPlan& used,
                                        const TransformerEvidence& evidence) {
  std::vector<std::string> sentences = {evidence.basis};
  const auto& measured = evidence.factors.factors();
  if (!measured.empty()) {
    const bool known = measured.contains(layer_kernels(shape, used));
    sentences.emplace_back(known ? "a layer of this kind was measured"
                                 : "no layer of this kind was measured: constants, and what "
                                   "others of its tensor degree showed");
  }
  sentences.push_back(fmt::format("products in {}, attention by {}", to_text(used.precision),
                                  to_text(used.attention)));
  sentences.push_back(
      "gradients are kept and sent in 32 bits, their exchange overlaps with backward");
  sentences.emplace_back("reading keeps ahead of the step");
  return sentences;
}

}  // namespace

Result<TransformerPlan> transformer_plan(const Plan& plan) {
  if (plan.expert > 1 || plan.local.steps > 1 || plan.server_nodes > 0 || !plan.sharded.empty()) {
    return unsupported(
        "the closed form of transformers has no expert parallelism, local steps, servers or "
        "sharded layers",
        "leave them out");
  }
  if (!plan.cluster.more.empty()) {
    return unsupported("the closed form of transformers is for nodes of one type",
                       "name one instance type");
  }
  if (plan.global_batch > std::numeric_limits<int>::max()) {
    return unsupported(fmt::format("a global batch of {} samples", plan.global_batch),
                       "a smaller one");
  }
  TransformerPlan used;
  used.data = plan.layout.data;
  used.tensor = plan.layout.tensor;
  used.pipeline = plan.layout.pipeline;
  used.context = plan.layout.context;
  used.interleave = plan.pipeline.interleave;
  used.sequence_parallel = plan.sequence_parallel;
  used.shard = plan.shard;
  used.micro_batch = static_cast<int>(plan.micro_batch);
  used.global_batch = static_cast<int>(plan.global_batch);
  used.recompute = plan.recompute;
  used.precision = plan.precision;
  used.attention = plan.attention;
  used.overlap_data = true;
  used.gradient_bytes = kTransformerGradientBytes;
  return used;
}

Result<PredictedTransformer> predict_transformer_plan(const TransformerShape& shape,
                                                      const Plan& plan,
                                                      const TransformerEvidence& evidence) {
  PLUTO_ASSIGN(const TransformerPlan used, transformer_plan(plan));
  PLUTO_TRY(predict_transformer(shape, used, plan.cluster, evidence.costs));
  const TransformerStep step =
      predict_measured_layers(shape, used, plan.cluster, evidence.costs, evidence.factors);
  PLUTO_ASSIGN(const TransformerMemory adam, predict_transformer_memory(shape, used));
  const TransformerMemory memory = with_optimizer(adam, plan.optimizer, used);
  PredictedTransformer result;
  Prediction& prediction = result.prediction;
  const double spread = evidence.costs.step_spread;
  const std::pair<const char*, Seconds> terms[] = {{"compute", step.compute},
                                                   {"tensor_comm", step.tensor_comm},
                                                   {"pipeline_comm", step.pipeline_comm},
                                                   {"data_comm", step.data_comm},
                                                   {"bubble", step.bubble},
                                                   {"update", step.update},
                                                   {"fixed", step.fixed}};
  for (const auto& [name, time] : terms) {
    prediction.terms.push_back({name, time, spread, evidence.evidence});
  }
  prediction.step_time = lognormal_interval(step.step(), spread);
  prediction.memory = breakdown_of(memory);
  prediction.process_overhead = memory.framework;
  prediction.watermark = evidence.watermark;
  prediction.assumptions = assumptions_of(shape, used, evidence);
  set_run(plan, prediction);
  result.allocated = memory.allocated();
  result.reserved = memory.reserved();
  const DeviceSpec& device = plan.cluster.instance.node.device;
  result.fits = result.reserved <= device.memory;
  const double done = model_flops(shape, static_cast<double>(plan.global_batch));
  result.mfu = done / (step.step().value() * plan.layout.ranks() *
                       peak_rate(device, plan.precision).value());
  return result;
}

}  // namespace pluto
