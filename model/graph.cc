#include "model/graph.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/fingerprint.h"
#include "model/op_schema.h"

namespace pluto {
namespace {

std::string node_text(const std::string& name, OpKind kind, OpPass pass) {
  if (pass == OpPass::kForward) return fmt::format("node {} ({})", name, to_text(kind));
  return fmt::format("node {} ({} {})", name, to_text(kind), to_text(pass));
}

std::vector<TensorId> placeholders(const OpAttrs& attrs) {
  std::size_t count = 8;
  if (const auto* split = std::get_if<SplitAttrs>(&attrs)) {
    count = std::max(count, split->sizes.size());
  }
  return std::vector<TensorId>(count);
}

void add_ids(Fingerprint& print, const std::vector<TensorId>& ids) {
  print.add(std::uint64_t{ids.size()});
  for (TensorId id : ids) print.add(std::uint64_t{id.index()});
}

std::uint64_t fingerprint_of(const std::vector<Tensor>& tensors, const std::vector<Op>& ops) {
  Fingerprint print;
  print.add(std::uint64_t{tensors.size()});
  for (const Tensor& tensor : tensors) {
    print.add(tensor.name).add(to_text(tensor.role)).add(to_text(tensor.type));
    print.add(static_cast<std::uint64_t>(tensor.init.kind)).add(tensor.init.stddev);
  }
  print.add(std::uint64_t{ops.size()});
  for (const Op& op : ops) {
    print.add(op.name).add(to_text(op.kind)).add(to_text(op.pass)).add(to_text(op.attrs));
    add_ids(print, op.inputs);
    add_ids(print, op.outputs);
    add_ids(print, op.updates);
  }
  return print.value();
}

}  // namespace

const char* to_text(TensorRole role) {
  switch (role) {
    case TensorRole::kInput:
      return "input";
    case TensorRole::kActivation:
      return "activation";
    case TensorRole::kParameter:
      return "parameter";
    case TensorRole::kBuffer:
      return "buffer";
    case TensorRole::kGradient:
      return "gradient";
    case TensorRole::kOptimizerState:
      return "optimizer_state";
  }
  return "";
}

bool is_persistent(TensorRole role) {
  return role != TensorRole::kInput && role != TensorRole::kActivation;
}

std::optional<TensorId> Graph::find_tensor(const std::string& name) const {
  const auto found = tensor_of_.find(name);
  if (found == tensor_of_.end()) return std::nullopt;
  return found->second;
}

std::vector<TensorId> Graph::with_role(TensorRole role) const {
  std::vector<TensorId> ids;
  for (const Tensor& tensor : tensors_) {
    if (tensor.role == role) ids.push_back(tensor.id);
  }
  return ids;
}

GraphBuilder::GraphBuilder(const Graph& base) : graph_(base), base_uses_(base.tensors().size()) {
  for (const Op& op : base.ops()) {
    op_names_.insert(op.name);
    for (TensorId id : op.inputs) ++base_uses_[id.index()];
  }
}

TensorId GraphBuilder::input(const std::string& name, Shape shape, DType dtype) {
  return tensor(name, TensorRole::kInput, {std::move(shape), dtype, 1});
}

TensorId GraphBuilder::parameter(const std::string& name, Shape shape, Init init, DType dtype) {
  return tensor(name, TensorRole::kParameter, {std::move(shape), dtype, 0}, init);
}

TensorId GraphBuilder::tensor(const std::string& name, TensorRole role, TensorType type,
                              Init init) {
  if (failed()) return {};
  Tensor tensor;
  tensor.name = name;
  tensor.role = role;
  tensor.type = std::move(type);
  tensor.init = init;
  return add_tensor(std::move(tensor));
}

TensorId GraphBuilder::add_tensor(Tensor tensor) {
  const std::string context = fmt::format("tensor {}", tensor.name);
  if (tensor.name.empty()) {
    fail(invalid_input("a tensor has no name"));
    return {};
  }
  if (auto checked = check_shape(tensor.type.shape); !checked) {
    fail(with_context(checked.error(), context));
    return {};
  }
  tensor.id = TensorId(graph_.tensors_.size());
  if (!graph_.tensor_of_.emplace(tensor.name, tensor.id).second) {
    fail(invalid_input(context + ": the name is taken by an earlier tensor"));
    return {};
  }
  graph_.tensors_.push_back(std::move(tensor));
  return graph_.tensors_.back().id;
}

Result<void> GraphBuilder::check_operands(const Op& op) const {
  if (op.name.empty()) return invalid_input("the node has no name");
  if (op_names_.contains(op.name)) {
    return invalid_input("the name is taken by an earlier node");
  }
  if (op.attrs.index() != default_attrs(op.kind).index()) {
    return invalid_input("the attributes are those of another kind");
  }
  const auto known = [this](TensorId id) {
    return id.valid() && id.index() < graph_.tensors_.size();
  };
  for (std::size_t i = 0; i < op.inputs.size(); ++i) {
    if (!known(op.inputs[i])) {
      return invalid_input(fmt::format("operand {} is no tensor of this graph", i));
    }
  }
  for (std::size_t i = 0; i < op.updates.size(); ++i) {
    if (!known(op.updates[i])) {
      return invalid_input(fmt::format("update {} is no tensor of this graph", i));
    }
    const Tensor& tensor = tensor_at(op.updates[i]);
    if (!is_persistent(tensor.role)) {
      return invalid_input(fmt::format("update {} ({}) has role {}, expected a persistent tensor",
                                       i, tensor.name, to_text(tensor.role)));
    }
  }
  return {};
}

std::vector<TensorType> GraphBuilder::types(const std::vector<TensorId>& ids) const {
  std::vector<TensorType> types;
  types.reserve(ids.size());
  for (TensorId id : ids) types.push_back(type(id));
  return types;
}

std::vector<TensorId> GraphBuilder::op(const std::string& name, OpKind kind, OpPass pass,
                                       OpAttrs attrs, std::vector<TensorId> inputs,
                                       std::vector<TensorId> updates) {
  if (failed()) return placeholders(attrs);
  Op op{OpId(graph_.ops_.size()), name, kind, pass, std::move(attrs), std::move(inputs), {},
        std::move(updates)};
  const auto output_types = [&]() -> Result<std::vector<TensorType>> {
    if (pass != OpPass::kForward) return internal_error("backward nodes need op_with_types");
    PLUTO_TRY(check_operands(op));
    return schema_of(kind).infer(op.attrs, types(op.inputs));
  }();
  if (!output_types) return refuse(op, output_types.error());
  const std::vector<TensorRole> roles(output_types->size(), TensorRole::kActivation);
  return append(std::move(op), *output_types, roles, {});
}

std::vector<TensorId> GraphBuilder::op_with_types(const std::string& name, OpKind kind, OpPass pass,
                                                  OpAttrs attrs, std::vector<TensorId> inputs,
                                                  std::vector<TensorType> output_types,
                                                  std::vector<TensorRole> output_roles,
                                                  std::vector<TensorId> updates,
                                                  const std::vector<std::string>& output_names) {
  if (failed()) return placeholders(attrs);
  Op op{OpId(graph_.ops_.size()), name, kind, pass, std::move(attrs), std::move(inputs), {},
        std::move(updates)};
  const auto checked = [&]() -> Result<void> {
    PLUTO_TRY(check_operands(op));
    if (output_roles.size() != output_types.size()) {
      return internal_error("the output roles are not as many as the output types");
    }
    if (pass != OpPass::kForward) return {};
    PLUTO_ASSIGN(const auto expected, schema_of(kind).infer(op.attrs, types(op.inputs)));
    if (expected != output_types) {
      return internal_error("the output types are not those of the shape rule");
    }
    return {};
  }();
  if (!checked) return refuse(op, checked.error());
  return append(std::move(op), output_types, output_roles, output_names);
}

std::vector<TensorId> GraphBuilder::append(Op op, const std::vector<TensorType>& output_types,
                                           const std::vector<TensorRole>& output_roles,
                                           const std::vector<std::string>& output_names) {
  if (auto checked = check_updates(op.kind, op.pass, op.attrs, types(op.inputs), types(op.updates));
      !checked) {
    return refuse(op, checked.error());
  }
  for (std::size_t i = 0; i < output_types.size(); ++i) {
    Tensor tensor;
    tensor.name = i == 0 ? op.name : fmt::format("{}:{}", op.name, i);
    if (i < output_names.size() && !output_names[i].empty()) tensor.name = output_names[i];
    tensor.role = output_roles[i];
    tensor.type = output_types[i];
    tensor.producer = op.id;
    op.outputs.push_back(add_tensor(std::move(tensor)));
    if (failed()) {
      error_ = with_context(*error_, node_text(op.name, op.kind, op.pass));
      return placeholders(op.attrs);
    }
  }
  op_names_.insert(op.name);
  graph_.ops_.push_back(std::move(op));
  return graph_.ops_.back().outputs;
}

std::vector<TensorId> GraphBuilder::refuse(const Op& op, const Error& error) {
  fail(with_context(error, node_text(op.name, op.kind, op.pass)));
  return placeholders(op.attrs);
}

TensorId GraphBuilder::forward(const std::string& name, OpKind kind, OpAttrs attrs,
                               std::vector<TensorId> inputs) {
  const auto outputs = op(name, kind, OpPass::kForward, std::move(attrs), std::move(inputs));
  return outputs.empty() ? TensorId() : outputs.front();
}

const Tensor& GraphBuilder::tensor_at(TensorId id) const {
  static const Tensor placeholder;
  if (!id.valid() || id.index() >= graph_.tensors_.size()) return placeholder;
  return graph_.tensors_[id.index()];
}

std::size_t GraphBuilder::base_uses(TensorId id) const {
  return id.valid() && id.index() < base_uses_.size() ? base_uses_[id.index()] : 0;
}

void GraphBuilder::fail(Error error) {
  if (!error_) error_ = std::move(error);
}

Result<Graph> GraphBuilder::build() && {
  if (error_) return *error_;
  graph_.consumers_.assign(graph_.tensors_.size(), {});
  for (const Op& op : graph_.ops_) {
    for (TensorId id : op.inputs) {
      auto& consumers = graph_.consumers_[id.index()];
      if (consumers.empty() || consumers.back() != op.id) consumers.push_back(op.id);
    }
  }
  graph_.fingerprint_ = std::make_shared<Graph::LazyFingerprint>();
  return std::move(graph_);
}

std::uint64_t Graph::fingerprint() const {
  if (!fingerprint_) return 0;
  std::call_once(fingerprint_->once,
                 [this] { fingerprint_->value = fingerprint_of(tensors_, ops_); });
  return fingerprint_->value;
}

std::int64_t parameter_count(const Graph& graph) {
  std::int64_t count = 0;
  for (TensorId id : graph.with_role(TensorRole::kParameter)) {
    count += graph.tensor(id).type.shape.elements();
  }
  return count;
}

}  // namespace pluto
