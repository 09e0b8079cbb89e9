// Elementary functions the compiler can vectorise. Included once per instruction set, inside its
// namespace. Relative error below 1e-6 (tests/runtime/cpu_vector_math_test.cc).

PLUTO_INLINE float bits_to_float(std::uint32_t bits) {
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}
PLUTO_INLINE std::uint32_t float_to_bits(float value) {
  std::uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof bits);
  return bits;
}

// Below it exp is 0 (true values under 1.9e-38).
constexpr float kExpLow = -86.9f;

// exp(x) = 2^n (1 + q) with n = round(x / ln 2), r = x - n ln 2 in [-0.347, 0.347] and q = exp(r) -
// 1 by its Taylor series to r^7 (remainder 5e-9). ln 2 is split in two so that the first product is
// exact.
struct ExpParts {
  float half;  // 2^(n-1): n may be 128, whose power is no float
  float q;
};
PLUTO_INLINE ExpParts exp_parts(float x) {
  const float rounding = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer
  const float shifted = x * 1.44269504f + rounding;  // its low bits are n; garbage where x is NaN
  const float n = shifted - rounding;
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.0f / 5040.0f;
  p = p * r + 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  const std::uint32_t exponent = float_to_bits(shifted) - float_to_bits(rounding) + 126U;
  return {bits_to_float(exponent << 23), p * r};
}

PLUTO_INLINE float vector_exp(float x) {
  const float high = 88.72f;
  float clamped = x < kExpLow ? kExpLow : x;
  clamped = clamped > high ? high : clamped;
  const ExpParts parts = exp_parts(clamped);
  float y = 2.0f * (parts.half * parts.q + parts.half);
  y = x < kExpLow ? 0.0f : y;
  return x > high ? __builtin_inff() : y;
}

// tanh(x) = -sign(x) e / (e + 2) with e = exp(-2 |x|) - 1, which has no cancellation near 0.
PLUTO_INLINE float vector_tanh(float x) {
  float a = x < 0 ? x : -x;
  a = a < -20.0f ? -20.0f : a;
  const ExpParts parts = exp_parts(2.0f * a);
  const float power = 2.0f * parts.half;
  const float e = power * parts.q + (power - 1.0f);
  const float t = -e / (e + 2.0f);
  return x < 0 ? -t : t;
}

// Of -|x|, so that the power never overflows.
PLUTO_INLINE float vector_sigmoid(float x) {
  const float z = x < 0 ? x : -x;
  const float clamped = z < kExpLow ? kExpLow : z;
  const ExpParts parts = exp_parts(clamped);
  const float e = 2.0f * (parts.half * parts.q + parts.half);
  return (x < 0 ? e : 1.0f) / (1.0f + e);
}

// log(1 + e) for e >= 0 as 2 atanh(e / (2 + e)), up to 1 where the argument is 1/3: the series ends
// at its 17th power (remainder 4e-10). Relative error stays small for small e.
PLUTO_INLINE float vector_log1p_unit(float e) {
  const float f = e / (2.0f + e), f2 = f * f;
  float p = 1.0f / 17.0f;
  p = p * f2 + 1.0f / 15.0f;
  p = p * f2 + 1.0f / 13.0f;
  p = p * f2 + 1.0f / 11.0f;
  p = p * f2 + 1.0f / 9.0f;
  p = p * f2 + 1.0f / 7.0f;
  p = p * f2 + 1.0f / 5.0f;
  p = p * f2 + 1.0f / 3.0f;
  return 2.0f * f * (p * f2 + 1.0f);
}

// log of a positive normal number 2^n m with m in [sqrt(1/2), sqrt(2)): n ln 2 + 2 atanh((m - 1) /
// (m + 1)).
PLUTO_INLINE float vector_log(float x) {
  const std::uint32_t bits = float_to_bits(x);
  const std::int32_t n = static_cast<std::int32_t>(bits - 0x3f3504f3U) >> 23;
  const float m = bits_to_float(bits - (static_cast<std::uint32_t>(n) << 23));
  const float f = (m - 1.0f) / (m + 1.0f), f2 = f * f;
  float p = 1.0f / 9.0f;
  p = p * f2 + 1.0f / 7.0f;
  p = p * f2 + 1.0f / 5.0f;
  p = p * f2 + 1.0f / 3.0f;
  return static_cast<float>(n) * 0.693147181f + 2.0f * f * (p * f2 + 1.0f);
}
