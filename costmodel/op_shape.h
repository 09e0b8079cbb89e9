#pragma once
// What a device has to do for an op: matrix products and bytes, whatever the op is called.

#include <cstdint>
#include <vector>

#include "costmodel/efficiency.h"
#include "model/op_schema.h"

namespace pluto {

/// How products are computed; each has its own peak and its own surface.
enum class Arithmetic : std::uint8_t { kF32, kTf32, kHalf, kF8 };
constexpr std::size_t kArithmeticCount = 4;
const char* to_text(Arithmetic arithmetic);  ///< "f32", "tf32", "half", "f8"

/// `batch` independent products of (m x k) by (k x n), all at once, `repeats` times one after the
/// other.
struct Product {
  double m = 1, n = 1, k = 1, batch = 1;
  double bytes = 0;  ///< compulsory traffic of one repeat
  double repeats = 1;
};

/// A convolution of stride 1 as F(o x o, r x r) of Winograd: per tile of o x o outputs
/// (o + r - 1)^2 products over channels instead of o^2 r^2.
struct WinogradShape {
  double kernel = 0;  ///< r; 0: does not apply
  double images = 1, height = 1, width = 1, in_channels = 1, out_channels = 1;
  double image_bytes = 0, kernel_bytes = 0;  ///< compulsory: input and output; weight
};

struct OpShape {
  OpClass op_class = OpClass::kElementwise;
  Arithmetic arithmetic = Arithmetic::kF32;
  OpPass pass = OpPass::kForward;
  double element_bytes = 4;
  std::vector<Product> products;  ///< done one after the other; empty: bytes only
  double bytes = 0;               ///< compulsory traffic of ops without products
  double row = 0;                 ///< length of the axis a normalization reduces over
  double sequence = 0;            ///< recurrent: time steps that wait for each other
  bool aligned = true;  ///< channels of a convolution are multiples of 8, as tensor cores want
  WinogradShape winograd;
};

/// Formulas: linear and matmul as they are; a convolution as the implicit product (positions x
/// out_channels x channels * taps) of Chellapilla 2006, its backward_data over input positions
/// and the most taps that reach one, its backward_weight over all positions as the inner axis;
/// recurrent layers as one product over all time steps for the input, one per step for the state,
/// and for backward both again plus the two weight products; fused attention as its two products
/// forward and five backward. Traffic is op_work()'s. `tf32`: f32 products of gemm and conv run on
/// tensor cores.
OpShape shape_of(const OpSignature& signature, bool tf32 = false);

/// Attention as frameworks without a fused kernel run it: products of matrices, with scores scaled,
/// masked and normalised in memory between them. Forward: product, two element-wise, softmax,
/// product; backward: four products, softmax, two element-wise.
std::vector<OpSignature> eager_attention(const OpSignature& attention);

}  // namespace pluto
