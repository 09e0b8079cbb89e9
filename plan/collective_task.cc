#include "plan/collective_task.h"

#include "plan/bucket_slots.h"
#include "plan/groups.h"

namespace pluto {
namespace {

Bytes bytes_of(const Graph& graph, const std::vector<TensorId>& ids, std::int64_t micro_batch) {
  Bytes sum;
  for (TensorId id : ids) sum += graph.tensor(id).type.bytes(micro_batch);
  return sum;
}

}  // namespace

bool is_communication(const Op& op) {
  switch (op.kind) {
    case OpKind::kGroupAllReduce:
    case OpKind::kGroupAllGather:
    case OpKind::kGroupReduceScatter:
    case OpKind::kGroupAllToAll:
      return true;
    default:
      return std::holds_alternative<CommAttrs>(op.attrs) ||
             std::holds_alternative<StageAttrs>(op.attrs);
  }
}

CollectiveTask collective_task(const Graph& graph, const Op& op, const Plan& plan,
                               int micro_index) {
  const auto bytes = [&](const std::vector<TensorId>& ids) {
    return bytes_of(graph, ids, plan.micro_batch);
  };

  CollectiveTask task;
  task.op = op.id;
  task.micro_index = micro_index;
  const auto* named = std::get_if<GroupAttrs>(&op.attrs);
  const GroupShape group = named ? group_shape(plan, named->group) : sync_group(plan.layout);
  task.ranks = task.servers = group.ranks;
  task.stride = group.stride;
  if (const auto bucket = bucket_of(op)) {  // messages between stages and of groups have none
    const BucketPlan& chosen = plan.buckets[*bucket];
    task.servers = owners_of(plan, *bucket);
    if (chosen.method == SyncMethod::kFactorServer) task.server = factor_server(plan, *bucket);
    if (chosen.method == SyncMethod::kParameterServer || task.server) {
      task.server_nodes = plan.server_nodes;
    }
    if (op.kind == OpKind::kAllReduce) task.algorithm = chosen.algorithm;
  }
  const bool apart = task.server_nodes > 0;
  // A packed bucket is an operand, not an update.
  const Bytes slice = bytes(op.updates.empty() ? op.inputs : op.updates);
  switch (op.kind) {
    case OpKind::kServerPush:
    case OpKind::kReduceScatter:
      task.kind = CollectiveKind::kReduceScatter;
      task.bytes = slice;
      if (apart) task.direction = Direction::kUp;
      break;
    case OpKind::kServerPull:
      task.kind = CollectiveKind::kAllGather;
      task.bytes = slice;
      if (apart) task.direction = Direction::kDown;
      break;
    case OpKind::kFactorPush:
      task.kind = CollectiveKind::kGather;
      task.bytes = bytes(op.outputs);
      if (apart) task.direction = Direction::kUp;
      break;
    case OpKind::kSend:
      task.kind = CollectiveKind::kSend;
      task.bytes = bytes(op.inputs);
      break;
    case OpKind::kReceive:
      task.kind = CollectiveKind::kSend;
      task.bytes = bytes(op.outputs);
      break;
    case OpKind::kFactorGather:
    case OpKind::kParameterGather:
      task.kind = CollectiveKind::kAllGather;
      task.bytes = bytes(op.outputs);
      break;
    case OpKind::kGroupAllReduce:
      task.kind = CollectiveKind::kAllReduce;
      task.bytes = bytes(op.inputs);
      break;
    case OpKind::kGroupAllGather:
      task.kind = CollectiveKind::kAllGather;
      task.bytes = bytes(op.outputs);
      break;
    case OpKind::kGroupReduceScatter:
      task.kind = CollectiveKind::kReduceScatter;
      task.bytes = bytes(op.inputs);
      break;
    case OpKind::kGroupAllToAll:
      task.kind = CollectiveKind::kAllToAll;
      task.bytes = bytes(op.inputs);
      break;
    default:
      task.kind = CollectiveKind::kAllReduce;
      task.bytes = slice;
      break;
  }
  return task;
}

CollectiveTask part_of(CollectiveTask whole, const ElementRange& part, std::int64_t elements) {
  // Elements are of one size.
  whole.bytes = Bytes(whole.bytes.value() / elements * (part.end - part.begin));
  whole.part = part;
  return whole;
}

}  // namespace pluto
