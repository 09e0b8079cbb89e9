#include "costmodel/simulator.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "costmodel/collective_time.h"
#include "costmodel/schedule.h"
#include "costmodel/uncertainty.h"
#include "plan/groups.h"

namespace pluto {

namespace {

/// Costs of the nodes of one training graph, each asked for once however many micro-batches there
/// are.
class NodeCosts {
 public:
  NodeCosts(const LoweredPlan& lowered, const ClusterSpec& cluster, const CostSource& costs)
      : lowered_(lowered),
        device_(cluster.instance.node.device),
        busy_ranks_(placement_of(cluster, lowered.program.ranks).per_node),
        costs_(costs),
        known_(lowered.training.graph.ops().size()) {}

  const OpCost& of(OpId id) {
    auto& cost = known_[id.index()];
    if (!cost) {
      const auto& graph = lowered_.training.graph;
      cost = costs_.op(signature_of(graph, graph.op(id), lowered_.program.micro_batch), device_,
                       busy_ranks_);
    }
    return *cost;
  }

 private:
  const LoweredPlan& lowered_;
  const DeviceSpec& device_;
  int busy_ranks_;
  const CostSource& costs_;
  std::vector<std::optional<OpCost>> known_;
};

/// The server whose shards take longest to update. All own nearly the same number of elements, but
/// small parameters fall whole to one of them.
std::size_t busiest_server(const StepProgram& program, NodeCosts& costs) {
  std::vector<double> load;
  for (const auto& task : program.tasks) {
    const auto* op = std::get_if<OpTask>(&task.payload);
    if (op == nullptr || op->shards.empty()) continue;
    const auto& shards = op->shards;
    load.resize(std::max(load.size(), shards.size()));
    const double per_element = costs.of(op->op).time.value() /
                               static_cast<double>(std::max<std::int64_t>(1, shards.elements));
    // Servers before the first that owns some of the parameter, less one for rounding.
    const auto first =
        shards.offset * shards.servers / std::max<std::int64_t>(1, shards.bucket_elements);
    for (auto s = static_cast<std::size_t>(std::max<std::int64_t>(0, first - 1)); s < shards.size();
         ++s) {
      const auto range = shards[s];
      if (!range.empty()) {
        load[s] += per_element * static_cast<double>(range.end - range.begin);
      } else if (static_cast<std::int64_t>(s) > first + 1) {
        break;
      }
    }
  }
  return load.empty() ? 0 : static_cast<std::size_t>(std::ranges::max_element(load) - load.begin());
}

double owned_share(const ShardSplit& shards, std::size_t server) {
  if (shards.empty()) return 1;
  if (server >= shards.size() || shards.elements == 0) return 0;
  const auto range = shards[server];
  return range.empty()
             ? 0
             : static_cast<double>(range.end - range.begin) / static_cast<double>(shards.elements);
}

/// A group of all ranks fills node after node; of smaller ones several share a node.
CollectiveCall call_of(const CollectiveTask& task, const StepProgram& program,
                       const ClusterSpec& cluster) {
  CollectiveCall call{task.kind, task.bytes, task.ranks, task.servers};
  if (task.ranks == program.ranks) return call;
  const auto placement =
      placement_of({task.ranks, task.stride}, program.ranks, cluster.instance.node.devices);
  call.per_node = placement.per_node;
  call.groups = placement.groups;
  return call;
}

}  // namespace

Result<SimulatedStep> simulate(const LoweredPlan& lowered, const ClusterSpec& cluster,
                               const DataChoice& data, const CostSource& costs,
                               const SimulateOptions& options) {
  const auto& program = lowered.program;
  NodeCosts node_costs(lowered, cluster, costs);
  const auto server = busiest_server(program, node_costs);

  EvidenceTally compute, update, comm, input;
  std::vector<TimedTask> timed;
  timed.reserve(program.tasks.size());
  for (const auto& task : program.tasks) {
    TimedTask one{task.resource, {}, 0, task.predecessors};
    if (const auto* op = std::get_if<OpTask>(&task.payload)) {
      const auto& cost = node_costs.of(op->op);
      one.duration = cost.time * owned_share(op->shards, server);
      const bool is_update = lowered.training.phase[op->op.index()] == OpPhase::kUpdate;
      (is_update ? update : compute).add(one.duration, cost.relative_spread, cost.evidence);
    } else if (const auto* collective = std::get_if<CollectiveTask>(&task.payload)) {
      const auto cost = costs.collective(call_of(*collective, program, cluster), cluster);
      one.duration = cost.time;
      one.cpu_share = cost.cpu_share;
      comm.add(cost.time, cost.relative_spread, cost.evidence);
    } else {
      const auto& batch = std::get<BatchTask>(task.payload);
      const Bytes per_sample(batch.bytes.value() / std::max<std::int64_t>(1, program.micro_batch));
      const auto cost = costs.input_sample(data.source, per_sample);
      input.add(cost.time * (static_cast<double>(program.micro_batch) / std::max(1, data.readers)),
                cost.relative_spread, cost.evidence);
    }
    timed.push_back(one);
  }
  const auto run = schedule(timed);

  SimulatedStep step;
  step.makespan = run.makespan;
  step.compute = compute.total();
  step.update = update.total();
  // Rounding alone can leave a hair below zero.
  step.exposed_comm = std::max(Seconds(0), run.makespan - step.compute - step.update);
  if (comm.total().value() <= 0) step.exposed_comm = Seconds(0);
  step.exposed_input = std::max(Seconds(0), input.total() - run.makespan);
  step.compute_evidence = compute.weakest();
  step.comm_evidence = comm.weakest();
  step.update_evidence = update.weakest();
  step.input_evidence = input.weakest();
  step.compute_spread = compute.relative_spread();
  step.comm_spread = comm.relative_spread();
  step.update_spread = update.relative_spread();
  step.input_spread = input.relative_spread();
  step.relative_spread =
      combined_spread(std::vector<TermSpread>{{step.compute, step.compute_spread},
                                              {step.exposed_comm, step.comm_spread},
                                              {step.exposed_input, step.input_spread},
                                              {step.update, step.update_spread}});

  if (options.timeline) {
    step.timeline.name = "predicted";
    Seconds read;
    for (std::size_t i = 0; i < program.tasks.size(); ++i) {
      const auto& task = program.tasks[i];
      Seconds start = run.start[i], end = run.end[i];
      if (std::holds_alternative<BatchTask>(task.payload)) {
        start = read;
        end = read = read + input.total() / static_cast<double>(std::max(1, program.accumulation));
      }
      step.timeline.entries.push_back(
          {task_name(lowered.training, program, task), task.resource, start, end});
    }
  }
  return step;
}

}  // namespace pluto
