#include "model/passes/mixed_precision.h"

#include <fmt/format.h>

#include <map>
#include <utility>

#include "model/op_schema.h"

namespace pluto {
namespace {

bool is_loss(OpKind kind) {
  return kind == OpKind::kSoftmaxCrossEntropy || kind == OpKind::kBceWithLogits ||
         kind == OpKind::kMse || kind == OpKind::kSoftmaxTerms ||
         kind == OpKind::kSplitCrossEntropy;
}
bool is_lookup(OpKind kind) { return kind == OpKind::kEmbedding || kind == OpKind::kEmbeddingBag; }
bool is_norm(OpKind kind) {
  return kind == OpKind::kBatchNorm || kind == OpKind::kLayerNorm || kind == OpKind::kRmsNorm;
}

/// Copies a model node by node, with casts between.
class Narrowing {
 public:
  Narrowing(const ModelGraph& model, DType half)
      : model_(model), graph_(model.graph), half_(half), placed_(graph_.tensors().size()) {}

  Result<ModelGraph> run() {
    std::size_t next = 0;
    for (const Op& op : graph_.ops()) {
      // Tensors without a producer keep their place before the node they stood before.
      const std::size_t end = op.outputs.empty() ? next : op.outputs.front().index();
      for (; next < end; ++next) place(graph_.tensors()[next]);
      copy(op);
      if (builder_.failed()) break;
    }
    for (const Tensor& tensor : graph_.tensors()) place(tensor);
    ModelGraph narrow = model_;
    PLUTO_ASSIGN(narrow.graph, std::move(builder_).build());
    for (TensorId& id : narrow.inputs) id = placed_[id.index()];
    for (TensorId* id : {&narrow.labels, &narrow.logits, &narrow.loss}) {
      if (id->valid()) *id = placed_[id->index()];
    }
    return narrow;
  }

 private:
  void place(const Tensor& tensor) {
    TensorId& id = placed_[tensor.id.index()];
    if (id.valid() || tensor.producer) return;
    id = builder_.tensor(tensor.name, tensor.role, tensor.type, tensor.init);
  }

  TensorId cast(const std::string& name, TensorId from, DType to) {
    return builder_.forward(name, OpKind::kCast, CastAttrs{to_text(to)}, {from});
  }

  /// Operand i of a node as the node reads it.
  TensorId operand(const Op& op, std::size_t i) {
    const Tensor& source = graph_.tensor(op.inputs[i]);
    const TensorId id = placed_[source.id.index()];
    if (!is_floating(source.type.dtype)) return id;
    // Terms of a loss stay as they are on their way to other ranks.
    const bool terms = source.producer && graph_.op(*source.producer).kind == OpKind::kSoftmaxTerms;
    const bool wide =
        terms || is_loss(op.kind) || is_lookup(op.kind) || (is_norm(op.kind) && (i == 1 || i == 2));
    const DType wanted = wide ? DType::kF32 : half_;
    if (builder_.type(id).dtype == wanted) return id;
    if (source.role == TensorRole::kParameter) {
      return cast(fmt::format("{}.cast{}", op.name, i), id, wanted);
    }
    const auto [known, is_new] = casts_.try_emplace(id);
    if (is_new) known->second = cast(source.name + ".cast", id, wanted);
    return known->second;
  }

  void copy(const Op& op) {
    std::vector<TensorId> inputs, updates;
    std::vector<TensorType> types;
    for (TensorId id : op.inputs) place(graph_.tensor(id));
    for (TensorId id : op.updates) place(graph_.tensor(id));
    for (std::size_t i = 0; i < op.inputs.size(); ++i) inputs.push_back(operand(op, i));
    for (TensorId id : op.updates) updates.push_back(placed_[id.index()]);
    for (TensorId id : inputs) types.push_back(builder_.type(id));
    const auto outputs = schema_of(op.kind).infer(op.attrs, types);
    if (!outputs.ok()) {
      builder_.fail(with_context(outputs.error(), fmt::format("node {}", op.name)));
      return;
    }
    std::vector<TensorRole> roles;
    std::vector<std::string> names;
    for (TensorId id : op.outputs) {
      roles.push_back(graph_.tensor(id).role);
      names.push_back(graph_.tensor(id).name);
    }
    const auto made = builder_.op_with_types(op.name, op.kind, op.pass, op.attrs, std::move(inputs),
                                             *outputs, std::move(roles), std::move(updates), names);
    for (std::size_t i = 0; i < op.outputs.size(); ++i) placed_[op.outputs[i].index()] = made[i];
  }

  const ModelGraph& model_;
  const Graph& graph_;
  DType half_;
  GraphBuilder builder_;
  std::vector<TensorId> placed_;        // by TensorId of the model
  std::map<TensorId, TensorId> casts_;  // of activations, by id of the copy
};

}  // namespace

Result<ModelGraph> mixed_precision(const ModelGraph& model, DType half) {
  if (half == DType::kF32) return model;
  if (half != DType::kF16 && half != DType::kBF16) {
    return invalid_input(fmt::format("{} is no 16-bit floating type", to_text(half)),
                         "one of f16, bf16");
  }
  return Narrowing(model, half).run();
}

}  // namespace pluto
