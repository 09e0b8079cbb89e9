#pragma once
// The 16-bit floating-point formats, as bits.

#include <cstdint>

namespace pluto::reference {

/// Widths of the fields below the sign bit. f16: IEEE 754 binary16; bf16: the upper half of an f32.
struct ShortFloat {
  int exponent_bits;
  int mantissa_bits;
};
constexpr ShortFloat kHalf{5, 10};
constexpr ShortFloat kBrainFloat{8, 7};

/// Nearest representable value, ties to even; overflow is infinity, NaN stays NaN.
std::uint16_t encode(ShortFloat format, double value);
/// Exact.
double decode(ShortFloat format, std::uint16_t bits);

}  // namespace pluto::reference
