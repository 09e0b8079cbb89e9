#pragma once
// Element-wise functions, alone or behind a product. Private to runtime/reference.

#include <cmath>

#include "model/activation.h"
#include "runtime/reference/loop_kernel.h"

namespace pluto::reference {

inline double relu(double x) { return x < 0 ? 0 : x; }  // keeps NaN
inline double silu(double x) { return x * sigmoid(x); }
/// Formula: y = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))). Source: Hendrycks and Gimpel 2016.
double gelu(double x);
double gelu_backward(double dy, double x);

/// Of a node that computes z and then y = activation(z): which output z is written to.
inline std::size_t operand_output(Activation activation) {
  return keeps_operand(activation) ? 1 : 0;
}
/// Letters of such a node's outputs, for expect_operands().
inline const char* output_letters(Activation activation) {
  return keeps_operand(activation) ? "ff" : "f";
}
/// y = activation(z), y may be z; nothing for kNone. As the node of its own would.
void activate(Activation activation, const float* z, float* y, Index count);

}  // namespace pluto::reference
