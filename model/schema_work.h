#pragma once
// How work rules count. One multiply-add is two FLOPs; add, compare, divide, sqrt, exp, log and
// tanh are one each. Traffic is compulsory: each operand read once, each result written once.
// Private to model/.

#include <span>

#include "model/op_schema.h"

namespace pluto {

/// The operands of one work rule. Operands that are not there count as scalars of no batch.
struct WorkOperands {
  OpPass pass;
  std::span<const TensorType> inputs;
  std::span<const TensorType> outputs;
  std::int64_t micro_batch;

  const TensorType& input(std::size_t i) const;
  const TensorType& output(std::size_t i) const;
  double input_elements(std::size_t i) const;
  double output_elements(std::size_t i) const;
  Bytes input_bytes(std::size_t i) const { return input(i).bytes(micro_batch); }
  Bytes output_bytes(std::size_t i) const { return output(i).bytes(micro_batch); }
  bool forward() const { return pass == OpPass::kForward; }

  /// All inputs read, all outputs written, and these FLOPs.
  OpWork work(double flops) const;
};

/// Dimension `axis` of a shape, 1 when there is none.
double dim(const TensorType& type, std::size_t axis);
/// Last dimension, 1 of a scalar.
double last_dim(const TensorType& type);

/// Work rule of kinds that spend a fixed number of FLOPs per element of input 0.
template <int kForwardFlops, int kBackwardFlops>
OpWork per_element_work(OpPass pass, const OpAttrs&, std::span<const TensorType> inputs,
                        std::span<const TensorType> outputs, std::int64_t micro_batch) {
  const WorkOperands operands{pass, inputs, outputs, micro_batch};
  return operands.work((operands.forward() ? kForwardFlops : kBackwardFlops) *
                       operands.input_elements(0));
}

}  // namespace pluto
