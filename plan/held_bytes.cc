#include "plan/held_bytes.h"

namespace pluto {

std::vector<Bytes> held_bytes(const TrainingGraph& training, const StepProgram& program) {
  const Graph& graph = training.graph;
  std::vector<Bytes> held;
  held.reserve(graph.tensors().size());
  for (const Tensor& tensor : graph.tensors()) {
    held.push_back(tensor.type.bytes(program.micro_batch));
  }
  for (std::size_t i = 0; i < program.slots.size(); ++i) {
    const BucketSlot& slot = program.slots[i];
    const TrainedParameter& trained = training.trained[i];
    const SyncMethod method = program.methods[slot.bucket];
    const bool served =
        method == SyncMethod::kParameterServer || method == SyncMethod::kFactorServer;
    if (served && program.server_nodes > 0) {
      for (TensorId state : trained.state) held[state.index()] = Bytes(0);
    }
    if (program.shard == 0) continue;
    const std::int64_t shard = (slot.bucket_elements + program.sync_ranks - 1) / program.sync_ranks;
    const auto keep_shard = [&](TensorId id) {
      const std::int64_t size = element_size(graph.tensor(id).type.dtype);
      held[id.index()] = Bytes(slot.offset == 0 ? shard * size : 0);
    };
    for (TensorId state : trained.state) keep_shard(state);
    if (program.shard >= 2) keep_shard(trained.gradient);
    if (program.shard >= 3) keep_shard(trained.parameter);
  }
  return held;
}

}  // namespace pluto
