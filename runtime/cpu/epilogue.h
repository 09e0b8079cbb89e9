#pragma once
// What convolutions and linear layers do behind their product.

#include "runtime/cpu/cpu_kernel.h"

namespace pluto::cpu {

/// y = activation(z + bias), where z is what the product wrote and the node keeps.
class Epilogue {
 public:
  Epilogue(const Context& context, Activation activation, bool bias);

  /// The output of the node that the product writes.
  std::size_t operand() const { return keeps_operand(activation_) ? 1 : 0; }
  /// Rows of `width` elements, each element with a bias of its own.
  void rows(const KernelArguments& a, std::int64_t count, std::int64_t width) const;
  /// Planes of `size` elements with one bias each; `channels` planes have the biases in turn.
  void planes(const KernelArguments& a, std::int64_t count, std::int64_t size,
              std::int64_t channels) const;

 private:
  const Context context_;
  Activation activation_;
  bool bias_;
  Unary function_;  // nullptr: none
};

}  // namespace pluto::cpu
