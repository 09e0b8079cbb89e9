#include <utility>
#include <vector>

#include "model/passes/fuse_attention.h"
#include "model/passes/graph_rewrite.h"
#include "model/passes/passes.h"

namespace pluto {
namespace {

/// The node whose result `relu` can take over: a batch norm or addition that only this relu reads.
std::optional<OpId> fusable_producer(const ModelGraph& model, const Op& relu) {
  if (relu.kind != OpKind::kRelu || relu.pass != OpPass::kForward) return std::nullopt;
  const Tensor& between = model.graph.tensor(relu.inputs.front());
  if (!between.producer || is_persistent(between.role)) return std::nullopt;
  if (between.id == model.logits || between.id == model.loss) return std::nullopt;
  if (model.graph.consumers(between.id).size() != 1) return std::nullopt;
  const Op& producer = model.graph.op(*between.producer);
  if (producer.pass != OpPass::kForward || producer.outputs.front() != between.id) {
    return std::nullopt;
  }
  const auto* norm = std::get_if<BatchNormAttrs>(&producer.attrs);
  const auto* add = std::get_if<AddAttrs>(&producer.attrs);
  const bool fusable = (norm != nullptr && !norm->relu) || (add != nullptr && !add->relu);
  return fusable ? std::optional(producer.id) : std::nullopt;
}

}  // namespace

Result<ModelGraph> fuse(const ModelGraph& unfused) {
  PLUTO_ASSIGN(const ModelGraph model, fuse_attention(unfused));
  GraphRewrite rewrite(model.graph);
  std::vector<bool> merged(model.graph.ops().size());
  for (const Op& relu : model.graph.ops()) {
    const auto producer = fusable_producer(model, relu);
    if (!producer) continue;
    Op& fused = rewrite.op(*producer);
    if (auto* norm = std::get_if<BatchNormAttrs>(&fused.attrs)) norm->relu = true;
    if (auto* add = std::get_if<AddAttrs>(&fused.attrs)) add->relu = true;
    fused.outputs.front() = relu.outputs.front();
    merged[relu.id.index()] = true;
  }
  std::vector<OpId> order;
  for (const Op& op : model.graph.ops()) {
    if (!merged[op.id.index()]) order.push_back(op.id);
  }
  PLUTO_ASSIGN(auto rewritten, rewrite.build(order));
  return carry_over(model, std::move(rewritten));
}

}  // namespace pluto
