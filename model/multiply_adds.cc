#include "model/multiply_adds.h"

#include "model/op_schema.h"

namespace pluto {
namespace {

bool counts(OpKind kind) {
  switch (kind) {
    case OpKind::kConv2d:
    case OpKind::kLinear:
    case OpKind::kMatMul:
    case OpKind::kMoeFfn:
    case OpKind::kAttention:
    case OpKind::kLstm:
    case OpKind::kGru:
      return true;
    default:
      return false;
  }
}

/// Whether each output element takes one operation beside its sum of products.
bool biased_or_scaled(const Op& op) {
  if (const auto* product = std::get_if<MatMulAttrs>(&op.attrs)) return product->scale != 1;
  return (op.kind == OpKind::kConv2d || op.kind == OpKind::kLinear) && op.inputs.size() > 2;
}

}  // namespace

double multiply_adds(const Graph& forward) {
  double flops = 0;
  for (const Op& op : forward.ops()) {
    if (!counts(op.kind)) continue;
    flops += op_work(forward, op, 1).flops.value();
    if (biased_or_scaled(op))
      flops -= static_cast<double>(forward.tensor(op.outputs[0]).type.shape.elements());
  }
  return flops / 2;
}

}  // namespace pluto
