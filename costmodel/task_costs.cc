#include "costmodel/task_costs.h"

#include <algorithm>

#include "costmodel/collective_time.h"
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

/// The part of its node's work that a task does.
double part_share(const LoweredPlan& lowered, const OpTask& task) {
  if (task.part.empty()) return 1;
  const Graph& graph = lowered.training.graph;
  double elements = 0;
  for (const TensorId id : graph.op(task.op).inputs) {
    elements += static_cast<double>(graph.tensor(id).type.elements(lowered.program.micro_batch));
  }
  return static_cast<double>(task.part.end - task.part.begin) / elements;
}

/// The server whose shards take longest to update. All own nearly the same number of elements, but
/// small parameters fall whole to one of them.
std::size_t busiest_server(const LoweredPlan& lowered, NodeCosts& costs) {
  const StepProgram& program = lowered.program;
  std::vector<double> load;
  for (const auto& task : program.tasks) {
    const auto* op = std::get_if<OpTask>(&task.payload);
    if (op == nullptr || op->shards.empty()) continue;
    const auto& shards = op->shards;
    load.resize(std::max(load.size(), shards.size()));
    const double per_element = costs.of(op->op).time.value() * part_share(lowered, *op) /
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
  CollectiveCall call{.kind = task.kind,
                      .bytes = task.bytes,
                      .ranks = task.ranks,
                      .servers = task.servers,
                      .algorithm = task.algorithm,
                      .server_nodes = task.server_nodes};
  if (task.ranks == program.ranks) return call;
  const auto placement =
      placement_of({task.ranks, task.stride}, program.ranks, cluster.instance.node.devices);
  call.per_node = placement.per_node;
  call.groups = placement.groups;
  return call;
}

}  // namespace

EvidenceTally& TermTallies::of(TaskPart part) {
  switch (part) {
    case TaskPart::kCompute:
      return compute;
    case TaskPart::kUpdate:
      return update;
    case TaskPart::kCommunication:
      return communication;
    case TaskPart::kInput:
      break;
  }
  return input;
}

void TermTallies::add(const TermTallies& others) {
  compute.add(others.compute);
  update.add(others.update);
  communication.add(others.communication);
  input.add(others.input);
}

void TermTallies::add_slowing(const std::vector<TaskCost>& tasks, Seconds slowed) {
  if (!(slowed.value() > 0)) return;
  double spread = 0;
  Evidence evidence = Evidence::kMeasured;
  for (const TaskCost& task : tasks) {
    spread = std::max(spread, task.sharing_spread);
    evidence = std::max(evidence, task.sharing_evidence);
  }
  communication.add(slowed, spread, evidence);
}

std::vector<TaskCost> cost_tasks(const LoweredPlan& lowered, const ClusterSpec& cluster,
                                 const DataChoice& data, const CostSource& costs) {
  const auto& program = lowered.program;
  NodeCosts node_costs(lowered, cluster, costs);
  const auto server = busiest_server(lowered, node_costs);
  std::vector<TaskCost> result;
  result.reserve(program.tasks.size());
  for (const auto& task : program.tasks) {
    TaskCost one;
    one.timed.resource = task.resource;
    one.timed.predecessors = task.predecessors;
    if (const auto* op = std::get_if<OpTask>(&task.payload)) {
      const auto& cost = node_costs.of(op->op);
      const OpPhase phase = lowered.training.phase[op->op.index()];
      const bool updates = phase == OpPhase::kUpdate || phase == OpPhase::kAverage;
      one.averages = phase == OpPhase::kAverage;
      one.part = updates ? TaskPart::kUpdate : TaskPart::kCompute;
      // What servers of their own do the ranks see as waiting for communication.
      if (task.resource == Resource::kServer) one.part = TaskPart::kCommunication;
      one.alone = one.timed.duration =
          cost.time * (part_share(lowered, *op) * owned_share(op->shards, server));
      one.relative_spread = cost.relative_spread;
      one.evidence = cost.evidence;
    } else if (const auto* collective = std::get_if<CollectiveTask>(&task.payload)) {
      one.part = TaskPart::kCommunication;
      // Messages between stages take their time between the stages' programs.
      if (collective->kind == CollectiveKind::kSend) {
        result.push_back(std::move(one));
        continue;
      }
      const auto cost = costs.collective(call_of(*collective, program, cluster), cluster);
      one.averages = lowered.training.phase[collective->op.index()] == OpPhase::kAverage;
      one.timed.direction = collective->direction;
      one.alone = one.timed.duration = cost.time;
      one.timed.cpu_share = cost.cpu_share;
      one.timed.beside_compute = cost.beside_compute;
      one.timed.beside_other = cost.beside_other;
      one.sharing_spread = cost.sharing_spread;
      one.sharing_evidence = cost.sharing_evidence;
      one.relative_spread = cost.relative_spread;
      one.evidence = cost.evidence;
    } else {
      const auto& batch = std::get<BatchTask>(task.payload);
      const Bytes per_sample(batch.bytes.value() / std::max<std::int64_t>(1, program.micro_batch));
      const auto time = input_time(data, per_sample, cluster.instance.node,
                                   placement_of(cluster, program.ranks).per_node, costs);
      one.part = TaskPart::kInput;
      one.alone = time.per_sample * static_cast<double>(program.micro_batch);
      one.relative_spread = time.relative_spread;
      one.evidence = time.evidence;
      one.bound = time.bound;
    }
    result.push_back(std::move(one));
  }
  return result;
}

}  // namespace pluto
