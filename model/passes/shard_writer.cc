#include "model/passes/shard_writer.h"

#include <utility>

#include "model/op_schema.h"

namespace pluto {

ShardWriter::ShardWriter(const ModelGraph& source, RankGroup group, int ranks,
                         const ParameterCuts& cuts)
    : source_(source),
      group_(group),
      ranks_(ranks),
      placed_(source.graph.tensors().size()),
      shards_(source.shards) {
  for (const Tensor& tensor : source.graph.tensors()) {
    if (tensor.producer) continue;
    TensorType type = tensor.type;
    if (const auto cut = cuts.find(tensor.id); cut != cuts.end()) {
      const auto axis = static_cast<std::size_t>(cut->second.axis);
      type.shape.dims[axis] /= ranks;
      shards_.push_back({tensor.name, group, cut->second.axis, ranks, cut->second.pieces});
    }
    placed_[tensor.id.index()] =
        builder_.tensor(tensor.name, tensor.role, std::move(type), tensor.init);
  }
}

std::vector<TensorId> ShardWriter::at(const std::vector<TensorId>& source) const {
  std::vector<TensorId> placed;
  for (const TensorId id : source) placed.push_back(at(id));
  return placed;
}

void ShardWriter::append(const Op& op, OpAttrs attrs, std::vector<TensorId> inputs) {
  std::vector<TensorType> operands;
  for (const TensorId id : inputs) operands.push_back(builder_.type(id));
  auto types = schema_of(op.kind).infer(attrs, operands);
  std::vector<TensorRole> roles;
  std::vector<std::string> names;
  for (const TensorId id : op.outputs) {
    roles.push_back(source_.graph.tensor(id).role);
    names.push_back(source_.graph.tensor(id).name);
  }
  // Where the shape rule fails, op() says so with the name of the node.
  const auto outputs =
      types ? builder_.op_with_types(op.name, op.kind, op.pass, std::move(attrs), std::move(inputs),
                                     std::move(*types), std::move(roles), at(op.updates), names)
            : builder_.op(op.name, op.kind, op.pass, std::move(attrs), std::move(inputs));
  for (std::size_t i = 0; i < op.outputs.size() && i < outputs.size(); ++i) {
    place(op.outputs[i], outputs[i]);
  }
}

TensorId ShardWriter::exchange(OpKind kind, const std::string& name, TensorId input,
                               GroupAttrs attrs) {
  const auto known = exchanged_.find(name);
  if (known != exchanged_.end()) return known->second;
  attrs.group = group_;
  attrs.ranks = ranks_;
  return exchanged_[name] = builder_.forward(name, kind, attrs, {input});
}

Result<ModelGraph> ShardWriter::finish() && {
  ModelGraph model;
  model.name = source_.name;
  const auto placed = [this](TensorId id) { return id.valid() ? at(id) : id; };
  for (const TensorId id : source_.inputs) model.inputs.push_back(placed(id));
  model.labels = placed(source_.labels);
  model.logits = placed(source_.logits);
  model.loss = placed(source_.loss);
  model.shards = std::move(shards_);
  PLUTO_ASSIGN(model.graph, std::move(builder_).build());
  return model;
}

bool is_element_wise(OpKind kind) {
  switch (kind) {
    case OpKind::kRelu:
    case OpKind::kGelu:
    case OpKind::kSilu:
    case OpKind::kSigmoid:
    case OpKind::kTanh:
    case OpKind::kDropout:
      return true;
    default:
      return false;
  }
}

std::size_t readers_of(const Graph& graph, TensorId parameter) {
  return graph.consumers(parameter).size();
}

}  // namespace pluto
