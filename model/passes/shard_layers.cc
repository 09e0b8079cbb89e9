#include <fmt/format.h>

#include <unordered_map>
#include <unordered_set>

#include "base/text.h"
#include "model/passes/shard.h"
#include "model/passes/shard_writer.h"

namespace pluto {
namespace {

Result<const Op*> linear_named(const Graph& graph, const std::string& name) {
  std::vector<std::string> linears;
  for (const Op& op : graph.ops()) {
    if (op.kind != OpKind::kLinear) continue;
    if (op.name == name) return &op;
    linears.push_back(op.name);
  }
  const auto nearest = nearest_word(name, linears);
  return invalid_input(fmt::format("{} is no linear layer of the model", name),
                       nearest ? fmt::format("did you mean '{}'?", *nearest) : std::string());
}

/// Writes the model of one rank; a tensor is where it was, or split by features over the whole
/// batch.
class LayerSharding {
 public:
  LayerSharding(const ModelGraph& model, int ranks, const ParameterCuts& cuts,
                const std::unordered_set<OpId>& layers)
      : graph_(model.graph),
        layers_(layers),
        writer_(model, RankGroup::kData, ranks, cuts),
        ranks_(ranks),
        split_(model.graph.tensors().size()) {}

  Result<ModelGraph> write(const ModelGraph& model) && {
    for (const Op& op : graph_.ops()) {
      if (layers_.contains(op.id)) {
        auto attrs = std::get<LinearAttrs>(op.attrs);
        attrs.out_features /= ranks_;
        std::vector<TensorId> inputs = writer_.at(op.inputs);
        inputs[0] = whole_batch(op.inputs[0]);
        writer_.append(op, attrs, std::move(inputs));
        split_[op.outputs[0].index()] = true;
      } else if (is_element_wise(op.kind) && split_[op.inputs[0].index()]) {
        writer_.append(op);
        split_[op.outputs[0].index()] = true;
      } else {
        for (const TensorId id : op.inputs) bring_back(id);
        writer_.append(op);
      }
    }
    for (const TensorId id : {model.logits, model.loss}) {
      if (id.valid()) bring_back(id);
    }
    return std::move(writer_).finish();
  }

 private:
  std::int64_t last_axis(TensorId id) const {
    return static_cast<std::int64_t>(graph_.tensor(id).type.shape.rank()) - 1;
  }
  /// All features of the samples of all ranks.
  TensorId whole_batch(TensorId id) {
    GroupAttrs attrs;
    attrs.axis = split_[id.index()] ? last_axis(id) : kBatchAxis;
    return writer_.exchange(OpKind::kGroupAllGather, graph_.tensor(id).name + ".gathered",
                            writer_.at(id), attrs);
  }
  /// All features of the own samples.
  void bring_back(TensorId id) {
    if (!split_[id.index()]) return;
    GroupAttrs attrs;
    attrs.axis = last_axis(id);
    attrs.cut = kBatchAxis;
    writer_.place(id, writer_.exchange(OpKind::kGroupAllToAll, graph_.tensor(id).name + ".own",
                                       writer_.at(id), attrs));
    split_[id.index()] = false;
  }

  const Graph& graph_;
  const std::unordered_set<OpId>& layers_;
  ShardWriter writer_;
  int ranks_;
  std::vector<bool> split_;  // by source TensorId
};

}  // namespace

Result<ModelGraph> shard_layers(const ModelGraph& model, std::span<const std::string> layers,
                                int ranks) {
  if (ranks == 1 || layers.empty()) return model;
  ParameterCuts cuts;
  std::unordered_set<OpId> chosen;
  for (const std::string& name : layers) {
    PLUTO_ASSIGN(const Op* op, linear_named(model.graph, name));
    const std::int64_t features = std::get<LinearAttrs>(op->attrs).out_features;
    if (features % ranks != 0) {
      return invalid_input(
          fmt::format("layer {}: {} data ranks do not divide {} features", name, ranks, features));
    }
    for (std::size_t i = 1; i < op->inputs.size(); ++i) {
      const Tensor& parameter = model.graph.tensor(op->inputs[i]);
      if (parameter.role != TensorRole::kParameter || readers_of(model.graph, parameter.id) != 1) {
        return invalid_input(
            fmt::format("layer {}: {} is read by other nodes too", name, parameter.name));
      }
      cuts[parameter.id] = {0, {features}};
    }
    chosen.insert(op->id);
  }
  return LayerSharding(model, ranks, cuts, chosen).write(model);
}

}  // namespace pluto
