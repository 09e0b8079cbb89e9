#include "runtime/reference/short_float.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace pluto::reference {
namespace {

int bias_of(ShortFloat format) { return (1 << (format.exponent_bits - 1)) - 1; }
std::uint32_t infinity_of(ShortFloat format) {
  return ((1U << format.exponent_bits) - 1U) << format.mantissa_bits;
}

}  // namespace

std::uint16_t encode(ShortFloat format, double value) {
  const std::uint32_t sign = std::signbit(value) ? 0x8000U : 0U;
  const std::uint32_t infinity = infinity_of(format);
  std::uint32_t bits = 0;
  if (std::isnan(value)) {
    bits = infinity | 1U << (format.mantissa_bits - 1);
  } else if (std::isinf(value)) {
    bits = infinity;
  } else if (value != 0) {
    const int smallest = 1 - bias_of(format);  // exponent of subnormals too
    const int exponent = std::max(std::ilogb(value), smallest);
    if (exponent > bias_of(format)) {
      bits = infinity;
    } else {
      // In units of the last place; the leading one of a normal number, or the carry of a round-up,
      // raises the exponent field.
      const double units =
          std::nearbyint(std::ldexp(std::abs(value), format.mantissa_bits - exponent));
      bits = (static_cast<std::uint32_t>(exponent - smallest) << format.mantissa_bits) +
             static_cast<std::uint32_t>(units);
    }
  }
  return static_cast<std::uint16_t>(sign | bits);
}

double decode(ShortFloat format, std::uint16_t bits) {
  const std::uint32_t magnitude = bits & 0x7FFFU;
  const std::uint32_t infinity = infinity_of(format);
  const double sign = (bits & 0x8000U) != 0 ? -1 : 1;
  if (magnitude == infinity) return sign * std::numeric_limits<double>::infinity();
  if (magnitude > infinity) return std::numeric_limits<double>::quiet_NaN();
  const int field = static_cast<int>(magnitude >> format.mantissa_bits);
  const std::uint32_t hidden = field == 0 ? 0U : 1U << format.mantissa_bits;
  const std::uint32_t units = (magnitude & ((1U << format.mantissa_bits) - 1U)) | hidden;
  return sign * std::ldexp(static_cast<double>(units),
                           std::max(field, 1) - bias_of(format) - format.mantissa_bits);
}

}  // namespace pluto::reference
