#include "planner/cut_choice.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "costmodel/pipeline_simulator.h"
#include "costmodel/task_costs.h"
#include "model/passes/split_stages.h"
#include "plan/memory_plan.h"
#include "plan/pipeline.h"
#include "planner/stage_cuts.h"

namespace pluto {
namespace {

/// Activations that cross each cut, on the layer before it.
void add_outputs(const Graph& forward, std::int64_t micro_batch, std::vector<ChainLayer>& layers) {
  for (const Tensor& tensor : forward.tensors()) {
    if (!tensor.producer) continue;
    std::size_t last = tensor.producer->index();
    for (OpId reader : forward.consumers(tensor.id)) last = std::max(last, reader.index());
    for (std::size_t i = tensor.producer->index(); i < last; ++i) {
      layers[i].output += tensor.type.bytes(micro_batch);
    }
  }
}

/// What a layer holds, of the training graph of one stage.
void add_memory(const TrainingGraph& training, std::int64_t micro_batch,
                const std::map<std::string, std::size_t>& layer_of,
                std::vector<ChainLayer>& layers) {
  const Graph& graph = training.graph;
  const auto layer = [&](OpId op) -> ChainLayer* {
    const OpId origin = training.origin[op.index()];
    const auto found = origin.valid() ? layer_of.find(graph.op(origin).name) : layer_of.end();
    return found == layer_of.end() ? nullptr : &layers[found->second];
  };
  for (const TrainedParameter& entry : training.trained) {
    ChainLayer* owner = layer(entry.update);
    if (owner == nullptr) continue;
    owner->parameters += graph.tensor(entry.parameter).type.bytes(1);
    owner->states += graph.tensor(entry.parameter).type.bytes(1);
    owner->states += graph.tensor(entry.gradient).type.bytes(1);
    for (TensorId state : entry.state) owner->states += graph.tensor(state).type.bytes(1);
  }
  for (const Tensor& tensor : graph.tensors()) {
    if (!tensor.producer || training.phase[tensor.producer->index()] != OpPhase::kForward) continue;
    const bool kept = std::ranges::any_of(graph.consumers(tensor.id), [&](OpId reader) {
      return training.phase[reader.index()] == OpPhase::kBackward;
    });
    ChainLayer* owner = kept ? layer(*tensor.producer) : nullptr;
    if (owner != nullptr) owner->kept += tensor.type.bytes(micro_batch);
  }
}

/// What each node costs and holds, where one stage has them all.
Result<std::vector<ChainLayer>> layers_of(const ModelGraph& model, const Graph& forward, Plan plan,
                                          const CostSource& costs) {
  plan.layout.pipeline = 1;
  plan.pipeline = {};
  PLUTO_ASSIGN(const LoweredPipeline whole, lower_pipeline(model, plan));
  const LoweredPlan& lowered = whole.stages.front().lowered;
  const TrainingGraph& training = lowered.training;
  std::vector<ChainLayer> layers(forward.ops().size());
  add_outputs(forward, plan.micro_batch, layers);
  std::map<std::string, std::size_t> layer_of;
  for (const Op& op : forward.ops()) layer_of[op.name] = op.id.index();
  add_memory(training, plan.micro_batch, layer_of, layers);
  const auto tasks = cost_tasks(lowered, plan.cluster, plan.data, costs);
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    const auto& payload = lowered.program.tasks[i].payload;
    const auto* compute = std::get_if<OpTask>(&payload);
    const auto* collective = std::get_if<CollectiveTask>(&payload);
    if (compute == nullptr && collective == nullptr) continue;
    const OpId op = compute != nullptr ? compute->op : collective->op;
    const OpPhase phase = training.phase[op.index()];
    const OpId origin = training.origin[op.index()];
    if (!origin.valid()) continue;
    const auto layer = layer_of.find(training.graph.op(origin).name);
    if (layer == layer_of.end()) continue;
    if (phase == OpPhase::kForward) layers[layer->second].forward += tasks[i].alone;
    if (phase == OpPhase::kBackward) layers[layer->second].backward += tasks[i].alone;
  }
  return layers;
}

/// The link between neighbouring stages.
void set_link(const Plan& plan, const CostSource& costs, const std::vector<ChainLayer>& layers,
              CutRules& rules) {
  const int devices = std::max(1, plan.cluster.instance.node.devices);
  CollectiveCall call{CollectiveKind::kSend, Bytes(1), 2};
  call.per_node = plan.layout.ranks() <= devices ? 2 : 1;
  call.groups = std::min(plan.layout.ranks() / plan.layout.pipeline, devices);
  rules.latency = costs.collective(call, plan.cluster).time;
  call.bytes = Bytes(2);
  for (const ChainLayer& layer : layers) call.bytes = std::max(call.bytes, layer.output);
  const Seconds more = costs.collective(call, plan.cluster).time - rules.latency;
  constexpr double kFree = 1e30;  // bytes per second
  rules.bandwidth = more > Seconds(0) ? call.bytes / more : BytesPerSecond(kFree);
}

/// Cuts as the simulator and the memory plan see them.
struct TriedCuts {
  std::vector<std::string> names;
  Seconds step;
  Bytes excess;             ///< of the fullest stage over device memory; 0: all fit
  std::size_t fullest = 0;  ///< that stage
};

Result<TriedCuts> tried(const ModelGraph& model, Plan plan, const CostSource& costs,
                        std::vector<std::string> names) {
  plan.pipeline.cuts = names;
  PLUTO_ASSIGN(const LoweredPipeline pipeline, lower_pipeline(model, plan));
  PLUTO_ASSIGN(const SimulatedStep step, simulate(pipeline, plan, costs, {.timeline = false}));
  TriedCuts cuts{std::move(names), step.step(), Bytes(0)};
  for (std::size_t s = 0; s < pipeline.stages.size(); ++s) {
    const Bytes excess =
        stage_memory(pipeline.stages[s], {}).total() - plan.cluster.instance.node.device.memory;
    if (excess > cuts.excess) cuts.fullest = s;
    cuts.excess = std::max(cuts.excess, excess);
  }
  return cuts;
}

/// What cut_stages() takes a stage to hold.
Bytes held(const std::vector<ChainLayer>& layers, const CutRules& rules, const StageCuts& cuts,
           std::size_t stage) {
  const std::size_t begin = stage == 0 ? 0 : cuts.first[stage - 1];
  const std::size_t end = stage < cuts.first.size() ? cuts.first[stage] : layers.size();
  return held_by(layers, rules, stage, begin, end);
}

void keep_better(TriedCuts& best, TriedCuts other) {
  const bool fits = best.excess == Bytes(0), other_fits = other.excess == Bytes(0);
  if (fits != other_fits ? other_fits : other.step < best.step) best = std::move(other);
}

/// The chain of a model, and what its cuts have to respect but for memory.
struct CutProblem {
  std::vector<ChainLayer> layers;
  CutRules rules;
};

Result<CutProblem> problem_of(const ModelGraph& model, const Graph& forward, const Plan& plan,
                              const CostSource& costs) {
  CutProblem problem;
  PLUTO_ASSIGN(problem.layers, layers_of(model, forward, plan, costs));
  problem.rules.stages = plan.layout.pipeline * plan.pipeline.interleave;
  problem.rules.micro_batches = plan.accumulation;
  set_link(plan, costs, problem.layers, problem.rules);
  return problem;
}

/// Every cut the solver gives, until one fits or there is none.
template <class Keep>
Result<void> try_solver(const CutSolver& solver, const ModelGraph& model, const Graph& forward,
                        const Plan& plan, const CostSource& costs, CutProblem problem, Keep keep) {
  constexpr int kAttempts = 8;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    PLUTO_ASSIGN(const auto cuts, solver(problem.layers, problem.rules));
    if (!cuts) break;
    std::vector<std::string> names;
    for (std::size_t first : cuts->first) names.push_back(forward.ops()[first].name);
    // Some cuts cannot be: between three readers of a parameter.
    auto one = tried(model, plan, costs, std::move(names));
    if (!one.ok()) break;
    // What the memory plan adds to the sum, it will add again.
    problem.rules.memory = held(problem.layers, problem.rules, *cuts, one->fullest) - one->excess;
    const bool fits = one->excess == Bytes(0);
    keep(std::move(*one));
    if (fits) break;
  }
  return {};
}

}  // namespace

Result<PipelinePlan> choose_cuts(const ModelGraph& model, const Plan& plan,
                                 const CostSource& costs) {
  PipelinePlan chosen = plan.pipeline;
  chosen.cuts.clear();
  const int chunks = plan.layout.pipeline * plan.pipeline.interleave;
  if (chunks <= 1) return chosen;
  PLUTO_ASSIGN(const ModelGraph forward, transformed(model, plan));
  PLUTO_ASSIGN_AT("pipeline", auto even, even_cuts(forward.graph, chunks));
  PLUTO_ASSIGN(TriedCuts best, tried(model, plan, costs, std::move(even)));
  PLUTO_ASSIGN(auto problem, problem_of(model, forward.graph, plan, costs));
  PLUTO_TRY(try_solver(cut_stages, model, forward.graph, plan, costs, std::move(problem),
                       [&](TriedCuts one) { keep_better(best, std::move(one)); }));
  chosen.cuts = std::move(best.names);
  return chosen;
}

Result<std::optional<PipelinePlan>> cuts_by(const CutSolver& solver, const ModelGraph& model,
                                            const Plan& plan, const CostSource& costs) {
  PLUTO_ASSIGN(const ModelGraph forward, transformed(model, plan));
  PLUTO_ASSIGN(auto problem, problem_of(model, forward.graph, plan, costs));
  problem.rules.memory = plan.cluster.instance.node.device.memory;
  std::optional<PipelinePlan> found;
  PLUTO_TRY(
      try_solver(solver, model, forward.graph, plan, costs, std::move(problem), [&](TriedCuts one) {
        if (one.excess > Bytes(0)) return;
        found = plan.pipeline;
        found->cuts = std::move(one.names);
      }));
  return found;
}

}  // namespace pluto
