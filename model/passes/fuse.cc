#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "model/activation.h"
#include "model/passes/graph_rewrite.h"
#include "model/passes/passes.h"

namespace pluto {
namespace {

/// Merges element-wise nodes into the nodes before them, one at a time.
class Fusion {
 public:
  explicit Fusion(const ModelGraph& model)
      : model_(model), graph_(model.graph), rewrite_(graph_), place_(graph_.ops().size()) {
    for (const Op& op : graph_.ops()) place_[op.id.index()] = op.id;
  }

  Result<ModelGraph> run() {
    for (const Op& op : graph_.ops()) merge(op);
    std::vector<OpId> order;
    for (const Op& op : graph_.ops()) {
      const OpId placed = place_[op.id.index()];
      if (placed.valid()) order.push_back(placed);
    }
    PLUTO_ASSIGN(auto rewritten, rewrite_.build(order));
    return carry_over(model_, std::move(rewritten));
  }

 private:
  /// The forward node that makes a tensor, when its first result is this and `reader` alone reads
  /// it.
  const Op* producer_for(TensorId id, const Op& reader) const {
    const Tensor& between = graph_.tensor(id);
    if (!between.producer || is_persistent(between.role)) return nullptr;
    if (id == model_.logits || id == model_.loss) return nullptr;
    if (graph_.consumers(id).size() != 1 || std::ranges::count(reader.inputs, id) != 1) {
      return nullptr;
    }
    const Op& producer = graph_.op(*between.producer);
    const bool first = producer.pass == OpPass::kForward && producer.outputs.front() == id;
    return first ? &producer : nullptr;
  }

  /// A batch norm without relu of its own, which can take over what follows it.
  const Op* norm_for(TensorId id, const Op& reader) const {
    const Op* op = producer_for(id, reader);
    const auto* attrs = op != nullptr ? std::get_if<BatchNormAttrs>(&op->attrs) : nullptr;
    return attrs != nullptr && !attrs->relu ? op : nullptr;
  }

  void merge(const Op& node) {
    const auto activation = activation_of(node.kind);
    if (!activation || node.pass != OpPass::kForward) return;
    const Op* producer = producer_for(node.inputs.front(), node);
    if (producer == nullptr) return;
    Op& fused = rewrite_.op(producer->id);
    if (auto* conv = std::get_if<ConvAttrs>(&fused.attrs)) {
      epilogue(fused, conv->activation, *activation, node);
    } else if (auto* linear = std::get_if<LinearAttrs>(&fused.attrs)) {
      epilogue(fused, linear->activation, *activation, node);
    } else if (*activation != Activation::kRelu) {
      return;
    } else if (auto* norm = std::get_if<BatchNormAttrs>(&fused.attrs); norm && !norm->relu) {
      norm->relu = true;
      take_over(fused, node);
    } else if (auto* add = std::get_if<AddAttrs>(&fused.attrs); add && !add->relu) {
      if (sum_of_norm(*producer, node)) return;
      add->relu = true;
      take_over(fused, node);
    }
  }

  void epilogue(Op& fused, Activation& own, Activation activation, const Op& node) {
    if (own != Activation::kNone) return;
    own = activation;
    const TensorId operand = fused.outputs.front();
    take_over(fused, node);
    if (keeps_operand(activation)) fused.outputs.push_back(operand);
  }

  /// Relu of the sum of a batch norm and something made before it. Of two norms the later one can.
  bool sum_of_norm(const Op& add, const Op& relu) {
    const Op* norm = nullptr;
    TensorId residual;
    for (std::size_t i = 0; i < 2; ++i) {
      const Op* candidate = norm_for(add.inputs[i], add);
      if (candidate == nullptr || (norm != nullptr && candidate->id < norm->id)) continue;
      norm = candidate;
      residual = add.inputs[1 - i];
    }
    if (norm == nullptr) return false;
    Op& fused = rewrite_.op(norm->id);
    auto& attrs = std::get<BatchNormAttrs>(fused.attrs);
    attrs.relu = attrs.add = true;
    fused.inputs.push_back(residual);
    take_over(fused, relu);
    place_[norm->id.index()] = {};
    place_[add.id.index()] = norm->id;  // behind what it adds
    return true;
  }

  /// The last tensor of what is merged keeps its name.
  void take_over(Op& fused, const Op& node) {
    fused.outputs.front() = node.outputs.front();
    place_[node.id.index()] = {};
  }

  const ModelGraph& model_;
  const Graph& graph_;
  GraphRewrite rewrite_;
  std::vector<OpId> place_;  // by OpId: the node that stands there; invalid: none
};

}  // namespace

Result<ModelGraph> fuse(const ModelGraph& model) { return Fusion(model).run(); }

}  // namespace pluto
