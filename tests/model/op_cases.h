#pragma once
// At least one lawful instance of every op kind, for tests that hold for all of them.

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/op_schema.h"

namespace pluto {

/// Types in short: of a parameter, of one per sample.
inline TensorType fixed(std::vector<std::int64_t> dims, DType dtype = DType::kF32) {
  return {{std::move(dims)}, dtype, 0};
}
inline TensorType sample(std::vector<std::int64_t> dims, DType dtype = DType::kF32) {
  return {{std::move(dims)}, dtype, 1};
}

/// The shape rule of a kind; the message when it fails.
inline std::vector<TensorType> infer(OpKind kind, const OpAttrs& attrs,
                                     const std::vector<TensorType>& inputs) {
  auto outputs = schema_of(kind).infer(attrs, inputs);
  return outputs ? *outputs : std::vector<TensorType>{};
}
inline std::string infer_error(OpKind kind, const OpAttrs& attrs,
                               const std::vector<TensorType>& inputs) {
  auto outputs = schema_of(kind).infer(attrs, inputs);
  return outputs ? std::string("no error") : outputs.error().message;
}

struct OpCase {
  OpKind kind;
  OpAttrs attrs;
  std::vector<TensorType> inputs;
  std::vector<TensorType> updates;
};
std::vector<OpCase> op_cases();

/// A graph holding one case: operands without a batch axis are parameters "p0", integers inputs
/// "i1", all else activations "x2"; the node is "node".
Graph graph_of(const OpCase& op_case);

/// The graph of a case with the backward nodes of its gradient rule; every floating operand but a
/// loss's target wants one, every output that may have a gradient has one ("dy0", "dy1").
struct DifferentiatedCase {
  Graph graph;
  std::size_t forward_ops;
  std::vector<std::optional<TensorId>> gradients;
};
Result<DifferentiatedCase> differentiate_case(const OpCase& op_case);
/// As above with these operands and these output gradients.
Result<DifferentiatedCase> differentiate_case(const OpCase& op_case,
                                              const std::vector<bool>& wanted,
                                              const std::vector<bool>& arriving);

/// What each operand of a case may want; which outputs may have a gradient.
std::vector<bool> differentiable_inputs(const OpCase& op_case);
std::vector<bool> differentiable_outputs(const OpCase& op_case);

}  // namespace pluto
