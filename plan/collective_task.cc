#include "plan/collective_task.h"

namespace pluto {
namespace {

Bytes bytes_of(const Graph& graph, const std::vector<TensorId>& ids, std::int64_t micro_batch) {
  Bytes sum;
  for (TensorId id : ids) sum += graph.tensor(id).type.bytes(micro_batch);
  return sum;
}

}  // namespace

bool is_communication(const Op& op) {
  return std::holds_alternative<CommAttrs>(op.attrs) ||
         std::holds_alternative<StageAttrs>(op.attrs);
}

CollectiveTask collective_task(const Graph& graph, const Op& op, const Plan& plan,
                               int micro_index) {
  const auto bytes = [&](const std::vector<TensorId>& ids) {
    return bytes_of(graph, ids, plan.micro_batch);
  };

  CollectiveTask task;
  task.op = op.id;
  task.micro_index = micro_index;
  task.servers = plan.layout.data;
  switch (op.kind) {
    case OpKind::kServerPush:
      task.kind = CollectiveKind::kReduceScatter;
      task.servers = static_cast<int>(plan.servers.size());
      task.bytes = bytes(op.updates);
      break;
    case OpKind::kServerPull:
      task.kind = CollectiveKind::kAllGather;
      task.servers = static_cast<int>(plan.servers.size());
      task.bytes = bytes(op.updates);
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
      task.kind = CollectiveKind::kAllGather;
      task.bytes = bytes(op.outputs);
      break;
    default:
      task.kind = CollectiveKind::kAllReduce;
      task.bytes = bytes(op.updates);
      break;
  }
  return task;
}

}  // namespace pluto
