#include "planner/cut_choice.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "costmodel/pipeline_simulator.h"
#include "costmodel/task_costs.h"
#include "model/passes/split_stages.h"
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

/// What each node costs, forward and backward, where one stage holds them all.
Result<void> add_times(const ModelGraph& model, const Graph& forward, Plan plan,
                       const CostSource& costs, std::vector<ChainLayer>& layers) {
  plan.layout.pipeline = 1;
  plan.pipeline = {};
  PLUTO_ASSIGN(const LoweredPipeline whole, lower_pipeline(model, plan));
  const LoweredPlan& lowered = whole.stages.front().lowered;
  const TrainingGraph& training = lowered.training;
  std::map<std::string, std::size_t> layer_of;
  for (const Op& op : forward.ops()) layer_of[op.name] = op.id.index();
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
  return {};
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

Result<Seconds> simulated(const ModelGraph& model, Plan plan, const CostSource& costs,
                          std::vector<std::string> cuts) {
  plan.pipeline.cuts = std::move(cuts);
  PLUTO_ASSIGN(const LoweredPipeline pipeline, lower_pipeline(model, plan));
  PLUTO_ASSIGN(const SimulatedStep step, simulate(pipeline, plan, costs, {.timeline = false}));
  return step.step();
}

}  // namespace

Result<PipelinePlan> choose_cuts(const ModelGraph& model, const Plan& plan,
                                 const CostSource& costs) {
  PipelinePlan chosen = plan.pipeline;
  chosen.cuts.clear();
  const int chunks = plan.layout.pipeline * plan.pipeline.interleave;
  if (chunks <= 1) return chosen;
  PLUTO_ASSIGN(const ModelGraph forward, transformed(model, plan));
  PLUTO_ASSIGN_AT("pipeline", chosen.cuts, even_cuts(forward.graph, chunks));
  PLUTO_ASSIGN(const Seconds even, simulated(model, plan, costs, chosen.cuts));
  std::vector<ChainLayer> layers(forward.graph.ops().size());
  add_outputs(forward.graph, plan.micro_batch, layers);
  PLUTO_TRY(add_times(model, forward.graph, plan, costs, layers));
  CutRules rules;
  rules.stages = chunks;
  rules.micro_batches = plan.accumulation;
  set_link(plan, costs, layers, rules);
  PLUTO_ASSIGN(const auto cuts, cut_stages(layers, rules));
  std::vector<std::string> names;
  for (std::size_t first : cuts->first) names.push_back(forward.graph.ops()[first].name);
  // Cuts may be where a pipeline cannot be, such as between three readers of a parameter.
  const auto step = simulated(model, plan, costs, names);
  if (step.ok() && *step < even) chosen.cuts = std::move(names);
  return chosen;
}

}  // namespace pluto
