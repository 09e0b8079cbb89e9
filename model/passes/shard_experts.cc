#include <fmt/format.h>

#include <utility>

#include "model/passes/shard.h"
#include "model/passes/shard_writer.h"

namespace pluto {

Result<ModelGraph> shard_experts(const ModelGraph& model, int ranks) {
  if (ranks == 1) return model;
  ParameterCuts cuts;
  for (const Op& op : model.graph.ops()) {
    const auto* experts = std::get_if<MoeAttrs>(&op.attrs);
    if (experts == nullptr) continue;
    if (experts->experts % ranks != 0) {
      return unsupported(
          fmt::format("node {} (moe_ffn): {} experts are no multiple of {} expert ranks", op.name,
                      experts->experts, ranks),
          "choose an expert degree that divides them");
    }
    for (const std::size_t i : {2, 3, 4}) cuts[op.inputs[i]] = {0, {experts->experts}};
  }
  if (cuts.empty()) {
    return unsupported(fmt::format("model {} has no experts to spread", model.name), "expert: 1");
  }
  ShardWriter writer(model, RankGroup::kExpert, ranks, cuts);
  GroupAttrs batch;
  batch.axis = kBatchAxis;
  for (const Op& op : model.graph.ops()) {
    if (op.kind != OpKind::kMoeFfn) {
      writer.append(op);
      continue;
    }
    std::vector<TensorId> inputs = writer.at(op.inputs);
    inputs[0] = writer.exchange(OpKind::kGroupAllGather, op.name + ".tokens", inputs[0], batch);
    writer.append(op, op.attrs, std::move(inputs));
    writer.place(op.outputs[0], writer.exchange(OpKind::kGroupReduceScatter, op.name + ".sum",
                                                writer.at(op.outputs[0]), batch));
  }
  return std::move(writer).finish();
}

}  // namespace pluto
