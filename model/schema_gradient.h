#pragma once
// How gradient rules append nodes: names, types and roles of gradients in one place. Private to
// model/.

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/op_schema.h"

namespace pluto {

using Gradients = std::vector<std::optional<TensorId>>;

/// One gradient rule at work on one op.
class GradientContext {
 public:
  GradientContext(const Op& op, std::span<const std::optional<TensorId>> output_gradients,
                  const std::vector<bool>& wanted, GraphBuilder& builder)
      : op_(op),
        output_gradients_(output_gradients),
        wanted_(wanted),
        builder_(builder),
        result_(op.inputs.size()) {}

  const Op& op() const { return op_; }
  GraphBuilder& builder() const { return builder_; }
  TensorId input(std::size_t i) const { return op_.inputs[i]; }
  TensorId output(std::size_t i) const { return op_.outputs[i]; }
  bool wanted(std::size_t i) const { return i < wanted_.size() && wanted_[i]; }
  bool any_wanted() const;

  /// Whether the gradient of output 0 is there. Errors: kUnsupported when another output has one.
  Result<bool> arrives() const;
  /// The gradient of output 0. Precondition: arrives().
  TensorId dy() const { return *output_gradients_[0]; }
  std::optional<TensorId> output_gradient(std::size_t i) const { return output_gradients_[i]; }

  /// Appends a node "<op>.<suffix>" whose outputs are the gradients of the inputs `of` (indices),
  /// and records those that are wanted.
  void append(const std::string& suffix, OpKind kind, OpPass pass, OpAttrs attrs,
              std::vector<TensorId> inputs, const std::vector<std::size_t>& of);
  /// Appends the kind's only backward node "<op>.backward" with the op's attributes.
  void backward(std::vector<TensorId> inputs, const std::vector<std::size_t>& of) {
    append("backward", op_.kind, OpPass::kBackward, op_.attrs, std::move(inputs), of);
  }
  /// The gradient of input i is this tensor.
  void set(std::size_t i, TensorId gradient) { result_[i] = gradient; }

  Gradients take() { return std::move(result_); }

 private:
  const Op& op_;
  std::span<const std::optional<TensorId>> output_gradients_;
  const std::vector<bool>& wanted_;
  GraphBuilder& builder_;
  Gradients result_;
};

/// A gradient rule from a function that appends what is needed; it is called only when the gradient
/// of output 0 arrives and some input wants one.
template <void (*kAppend)(GradientContext&)>
Result<Gradients> gradient_rule(const Op& op,
                                std::span<const std::optional<TensorId>> output_gradients,
                                const std::vector<bool>& wanted, GraphBuilder& builder) {
  GradientContext context(op, output_gradients, wanted, builder);
  PLUTO_ASSIGN(const bool arrives, context.arrives());
  if (arrives && context.any_wanted()) kAppend(context);
  return context.take();
}

}  // namespace pluto
