#include "model/passes/graph_rewrite.h"

#include <fmt/format.h>

#include <utility>

namespace pluto {

GraphRewrite::GraphRewrite(const Graph& source) : tensors_(source.tensors()), ops_(source.ops()) {}

TensorId GraphRewrite::add_tensor(std::string name, TensorRole role, TensorType type, Init init) {
  const TensorId id(tensors_.size());
  tensors_.push_back({id, std::move(name), role, std::move(type), init, std::nullopt});
  return id;
}

OpId GraphRewrite::add_op(std::string name, OpKind kind, OpPass pass, OpAttrs attrs,
                          std::vector<TensorId> inputs, std::vector<TensorType> output_types,
                          std::vector<TensorId> updates) {
  const OpId id(ops_.size());
  Op op{id, name, kind, pass, std::move(attrs), std::move(inputs), {}, std::move(updates)};
  for (std::size_t i = 0; i < output_types.size(); ++i) {
    std::string output = i == 0 ? name : fmt::format("{}:{}", name, i);
    op.outputs.push_back(
        add_tensor(std::move(output), TensorRole::kActivation, std::move(output_types[i])));
    tensors_.back().producer = id;
  }
  ops_.push_back(std::move(op));
  return id;
}

void GraphRewrite::drop(TensorId id) { dropped_.push_back(id); }

Result<RewrittenGraph> GraphRewrite::build(std::span<const OpId> order) const {
  GraphBuilder builder;
  RewrittenGraph result;
  result.tensors.resize(tensors_.size());
  result.ops.resize(ops_.size());
  std::vector<bool> dropped(tensors_.size());
  for (TensorId id : dropped_) dropped[id.index()] = true;
  const auto place = [&](const Tensor& tensor) {
    TensorId& placed = result.tensors[tensor.id.index()];
    if (placed.valid() || tensor.producer || dropped[tensor.id.index()]) return;
    placed = builder.tensor(tensor.name, tensor.role, tensor.type, tensor.init);
  };
  const auto renumbered = [&](const std::vector<TensorId>& ids) {
    std::vector<TensorId> placed;
    for (TensorId id : ids) placed.push_back(result.tensors[id.index()]);
    return placed;
  };

  std::size_t next_source = 0;  // tensors below are placed if they have no producer
  std::size_t placed_ops = 0;
  for (OpId id : order) {
    const Op& op = ops_[id.index()];
    // What stood before this node stays before it, so that an unchanged order keeps all ids.
    if (!op.outputs.empty()) {
      for (; next_source < op.outputs.front().index(); ++next_source) place(tensors_[next_source]);
    }
    for (TensorId tensor : op.inputs) place(tensors_[tensor.index()]);
    for (TensorId tensor : op.updates) place(tensors_[tensor.index()]);
    for (TensorId tensor : op.inputs) {
      if (!builder.failed() && !result.tensors[tensor.index()].valid()) {
        return internal_error(fmt::format("node {} was moved before its operand {}", op.name,
                                          tensors_[tensor.index()].name));
      }
    }
    std::vector<TensorType> types;
    std::vector<TensorRole> roles;
    std::vector<std::string> names;
    for (TensorId output : op.outputs) {
      const Tensor& tensor = tensors_[output.index()];
      types.push_back(tensor.type);
      roles.push_back(tensor.role);
      names.push_back(tensor.name);
    }
    const auto outputs = builder.op_with_types(
        op.name, op.kind, op.pass, op.attrs, renumbered(op.inputs), std::move(types),
        std::move(roles), renumbered(op.updates), std::move(names));
    if (builder.failed()) break;
    for (std::size_t i = 0; i < op.outputs.size(); ++i) {
      result.tensors[op.outputs[i].index()] = outputs[i];
    }
    result.ops[id.index()] = OpId(placed_ops++);
  }
  for (const Tensor& tensor : tensors_) place(tensor);
  PLUTO_ASSIGN(result.graph, std::move(builder).build());
  return result;
}

ModelGraph carry_over(const ModelGraph& model, RewrittenGraph rewritten) {
  const auto tensor = [&](TensorId id) { return id.valid() ? rewritten.tensors[id.index()] : id; };
  ModelGraph result;
  result.name = model.name;
  for (TensorId input : model.inputs) result.inputs.push_back(tensor(input));
  result.labels = tensor(model.labels);
  result.logits = tensor(model.logits);
  result.loss = tensor(model.loss);
  result.graph = std::move(rewritten.graph);
  return result;
}

TrainingGraph carry_over(const TrainingGraph& training, std::vector<TrainedParameter> trained,
                         const std::vector<OpPhase>& phase, RewrittenGraph rewritten) {
  const auto tensor = [&](TensorId id) { return id.valid() ? rewritten.tensors[id.index()] : id; };
  const auto op = [&](OpId id) { return id.valid() ? rewritten.ops[id.index()] : id; };
  TrainingGraph result;
  result.model = training.model;
  result.loss = tensor(training.loss);
  result.logits = tensor(training.logits);
  result.labels = tensor(training.labels);
  for (TensorId input : training.inputs) result.inputs.push_back(tensor(input));
  for (TrainedParameter& entry : trained) {
    entry.parameter = tensor(entry.parameter);
    entry.gradient = tensor(entry.gradient);
    for (TensorId& state : entry.state) state = tensor(state);
    entry.update = op(entry.update);
  }
  result.trained = std::move(trained);
  result.phase.resize(rewritten.graph.ops().size());
  result.origin.resize(rewritten.graph.ops().size());
  for (std::size_t i = 0; i < rewritten.ops.size(); ++i) {
    if (!rewritten.ops[i].valid()) continue;
    const std::size_t placed = rewritten.ops[i].index();
    result.phase[placed] = phase[i];
    if (i < training.origin.size()) result.origin[placed] = op(training.origin[i]);
  }
  result.graph = std::move(rewritten.graph);
  return result;
}

}  // namespace pluto
