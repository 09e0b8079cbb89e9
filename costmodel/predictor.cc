#include "costmodel/predictor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "costmodel/collective_time.h"
#include "costmodel/uncertainty.h"

namespace pluto {

namespace {

const char* what_is_assumed(const std::string& term) {
  if (term == "compute") return "operator times";
  if (term == "exposed_comm") return "collective times";
  if (term == "exposed_input") return "reading times";
  return "optimizer update times";
}

/// What reading is bound by, and what would hide it.
std::string input_advice(const Plan& plan, const SimulatedStep& step) {
  const std::string text = "the step waits for samples: ";
  if (plan.data.queue == 0) {
    return text + "none is read ahead; data.queue: 1 would hide reading behind the step";
  }
  const double share = (step.makespan + step.exposed_input) / step.makespan;
  if (step.input_bound != InputBound::kReaders || !std::isfinite(share)) {
    return text + fmt::format("reading is bound by {}", to_text(step.input_bound));
  }
  return text + fmt::format("reading is bound by readers; {} of them would hide it",
                            static_cast<int>(std::ceil(plan.data.readers * share)));
}

std::vector<std::string> assumptions_of(const Plan& plan, const Prediction& prediction,
                                        const SimulatedStep& step, bool overhead_known,
                                        const CostSource& costs) {
  const std::string op_basis = costs.op_basis(plan.cluster.instance.node.device);
  std::vector<std::string> sentences;
  for (const auto& term : prediction.terms) {
    if (term.evidence < Evidence::kCalibrated || term.time.value() <= 0) continue;
    if (term.name == "bubble") continue;  // the operators of other stages
    sentences.push_back(
        fmt::format("{} are {} (spread {:.0f} %), not measured: {:.0f} % of the step",
                    what_is_assumed(term.name), to_text(term.evidence), 100 * term.relative_spread,
                    100 * (term.time / prediction.step_time.p50)));
  }
  if (step.compute_evidence >= Evidence::kCalibrated && !op_basis.empty()) {
    sentences.push_back(op_basis);
  }
  if (step.exposed_input.value() > 0) {
    sentences.push_back(input_advice(plan, step));
  }
  if (step.input_evidence == Evidence::kAssumed && step.exposed_input.value() <= 0) {
    sentences.push_back("reading keeps ahead of the step: its time was never measured");
  }
  if (!overhead_known) {
    sentences.push_back(
        "memory of the worker process besides arena and data was never measured and counts as 0");
  }
  if (plan.local.steps > 1 && plan.layout.data > 1) {
    sentences.push_back(fmt::format(
        "the local step is the mean over {} steps, of which the last averages the parameters",
        plan.local.steps));
  }
  return sentences;
}

/// Scratch of each node by what the cost source knows. The arguments must outlive it.
WorkspaceOf workspace_of(const LoweredPlan& lowered, const Plan& plan, const CostSource& costs) {
  const auto busy_ranks = placement_of(plan.cluster, lowered.program.ranks).per_node;
  return [&lowered, &plan, &costs, busy_ranks](const Op& op) {
    const auto signature = signature_of(lowered.training.graph, op, lowered.program.micro_batch);
    return costs.op(signature, plan.cluster.instance.node.device, busy_ranks).workspace;
  };
}

/// Everything that follows from the step and the memory of one rank.
PredictedPlan concluded(SimulatedStep simulated, const MemoryBreakdown& memory, const Plan& plan,
                        const CostSource& costs) {
  PredictedPlan result;
  result.step = std::move(simulated);
  const auto& step = result.step;
  auto& prediction = result.prediction;

  prediction.terms = {{"compute", step.compute, step.compute_spread, step.compute_evidence},
                      {"exposed_comm", step.exposed_comm, step.comm_spread, step.comm_evidence},
                      {"exposed_input", step.exposed_input, step.input_spread, step.input_evidence},
                      {"update", step.update, step.update_spread, step.update_evidence}};
  if (plan.layout.pipeline > 1) {
    prediction.terms.push_back({"bubble", step.bubble, step.compute_spread, step.compute_evidence});
  }
  Seconds step_time;
  for (const auto& term : prediction.terms) step_time += term.time;
  prediction.step_time = lognormal_interval(step_time, step.relative_spread);

  prediction.memory = memory;
  // The arena has two input sets, one being filled: a queue of one micro-batch.
  prediction.memory.inputs = Bytes(memory.inputs.value() / 2) * (plan.data.queue + 1);
  const auto overhead = costs.process_overhead();
  prediction.process_overhead = overhead.value_or(Bytes(0));

  prediction.watermark = costs.watermark();
  prediction.assumptions = assumptions_of(plan, prediction, step, overhead.has_value(), costs);
  set_run(plan, prediction);
  return result;
}

/// The mean over the steps before the switch and those after it.
Result<PredictedPlan> predict_post_local(const LoweredPlan& lowered, const Plan& plan,
                                         const CostSource& costs) {
  LoweredPlan after{lowered.training, lowered.program, nullptr};
  PLUTO_ASSIGN(auto result, predict(after, plan, costs));
  PLUTO_ASSIGN(const auto before, predict(*lowered.synchronous, plan, costs));
  const double steps = static_cast<double>(std::max<std::int64_t>(1, plan.steps));
  const std::int64_t batch = std::max<std::int64_t>(1, plan.global_batch);
  const double synchronous =
      static_cast<double>((plan.local.synchronous_samples + batch - 1) / batch);
  const double share = std::min(1.0, synchronous / steps);
  auto& prediction = result.prediction;
  Seconds step_time;
  for (std::size_t i = 0; i < prediction.terms.size(); ++i) {
    auto& term = prediction.terms[i];
    const auto& other = before.prediction.terms[i];
    term.time = term.time * (1 - share) + other.time * share;
    term.relative_spread = std::max(term.relative_spread, other.relative_spread);
    term.evidence = std::max(term.evidence, other.evidence);
    step_time += term.time;
  }
  const double spread =
      result.step.relative_spread * (1 - share) + before.step.relative_spread * share;
  prediction.step_time = lognormal_interval(step_time, spread);
  if (before.prediction.memory.total() > prediction.memory.total()) {
    prediction.memory = before.prediction.memory;
  }
  set_run(plan, prediction);
  prediction.assumptions.push_back(fmt::format(
      "the step is the mean over the run: {:.0f} of {:.0f} steps are synchronous ({:.4g} s), the "
      "rest local",
      share * steps, steps, before.prediction.step_time.p50.value()));
  return result;
}

/// Every rank computes the same share and waits for the others: the step is that of the slowest
/// group, the bill that of all nodes.
Result<PredictedPlan> predict_mixed(const ModelGraph& model, const Plan& plan,
                                    const CostSource& costs) {
  std::optional<PredictedPlan> slowest;
  std::string holder;
  for (ClusterSpec& view : views_by_group(plan.cluster)) {
    Plan own = plan;
    own.cluster = std::move(view);
    PLUTO_ASSIGN_AT(own.cluster.instance.name, auto predicted, predict(model, own, costs));
    const auto& step = predicted.prediction.step_time.p50;
    if (slowest && step <= slowest->prediction.step_time.p50) continue;
    slowest = std::move(predicted);
    holder = own.cluster.instance.name;
  }
  auto& sentences = slowest->prediction.assumptions;
  sentences.insert(sentences.begin(),
                   fmt::format("all ranks wait for those of {}, the slowest of {} types of nodes",
                               holder, plan.cluster.more.size() + 1));
  // The whole bill, whichever group sets the pace.
  set_run(plan, slowest->prediction);
  return std::move(*slowest);
}

}  // namespace

Result<PredictedPlan> predict(const ModelGraph& model, const Plan& plan, const CostSource& costs) {
  PLUTO_TRY(validate(plan));
  if (!plan.cluster.more.empty()) return predict_mixed(model, plan, costs);
  if (plan.layout.pipeline > 1) {
    PLUTO_ASSIGN(const auto pipeline, lower_pipeline(model, plan));
    return predict(pipeline, plan, costs);
  }
  PLUTO_ASSIGN(const auto lowered, lower(model, plan));
  return predict(lowered, plan, costs);
}

Result<PredictedPlan> predict(const LoweredPlan& lowered, const Plan& plan, const CostSource& costs,
                              const SimulateOptions& options) {
  if (lowered.synchronous) return predict_post_local(lowered, plan, costs);
  PLUTO_ASSIGN(auto step, simulate(lowered, plan.cluster, plan.data, costs, options));
  const auto workspace = workspace_of(lowered, plan, costs);
  return concluded(std::move(step),
                   plan_memory(lowered.training, lowered.program, workspace).breakdown, plan,
                   costs);
}

Result<PredictedPlan> predict(const LoweredPipeline& pipeline, const Plan& plan,
                              const CostSource& costs) {
  PLUTO_ASSIGN(auto step, simulate(pipeline, plan, costs));
  MemoryBreakdown largest;
  std::size_t holder = 0;
  for (std::size_t s = 0; s < pipeline.stages.size(); ++s) {
    const auto memory =
        stage_memory(pipeline.stages[s], workspace_of(pipeline.stages[s].lowered, plan, costs));
    if (s > 0 && memory.total() <= largest.total()) continue;
    largest = memory;
    holder = s;
  }
  auto result = concluded(std::move(step), largest, plan, costs);
  result.prediction.assumptions.insert(
      result.prediction.assumptions.begin(),
      fmt::format("memory is that of stage {} of {}, which needs most", holder,
                  pipeline.stages.size()));
  return result;
}

Result<std::optional<FrameworkMemory>> predict_framework_memory(const ModelGraph& model,
                                                                const Plan& plan,
                                                                const CostSource& costs) {
  PLUTO_ASSIGN(const auto lowered, lower(model, plan));
  return replay_caching_allocator(lowered.training, lowered.program,
                                  workspace_of(lowered, plan, costs),
                                  plan.cluster.instance.node.device.memory);
}

}  // namespace pluto
