// Conversions to and from 16-bit floats, to nearest, ties to even. NaN stays NaN.

static void bf16_to_f32(const std::uint16_t* x, float* y, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) y[i] = bits_to_float(std::uint32_t{x[i]} << 16);
}

static void f32_to_bf16(const float* x, std::uint16_t* y, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    const std::uint32_t bits = float_to_bits(x[i]);
    const std::uint32_t nearest = (bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16;
    const std::uint32_t nan = (bits >> 16 & 0x8000U) | 0x7FC0U;
    y[i] = static_cast<std::uint16_t>((bits & 0x7FFFFFFFU) > 0x7F800000U ? nan : nearest);
  }
}

#if PLUTO_LANES > 4  // F16C
typedef float Octet __attribute__((vector_size(32), aligned(4), may_alias));
typedef std::int16_t HalfOctet __attribute__((vector_size(16), aligned(2), may_alias));

static void f16_to_f32(const std::uint16_t* x, float* y, std::int64_t n) {
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    *reinterpret_cast<Octet*>(y + i) =
        __builtin_ia32_vcvtph2ps256(*reinterpret_cast<const HalfOctet*>(x + i));
  }
  for (; i < n; ++i) {
    const HalfOctet one = {static_cast<std::int16_t>(x[i])};
    y[i] = __builtin_ia32_vcvtph2ps256(one)[0];
  }
}

static void f32_to_f16(const float* x, std::uint16_t* y, std::int64_t n) {
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    *reinterpret_cast<HalfOctet*>(y + i) =
        __builtin_ia32_vcvtps2ph256(*reinterpret_cast<const Octet*>(x + i), 0);
  }
  for (; i < n; ++i) {
    const Octet one = {x[i]};
    y[i] = static_cast<std::uint16_t>(__builtin_ia32_vcvtps2ph256(one, 0)[0]);
  }
}
#else
// NOLINTBEGIN(readability-identifier-naming, cppcoreguidelines-avoid-non-const-global-variables):
// functions that are absent
constexpr void (*f16_to_f32)(const std::uint16_t*, float*, std::int64_t) = nullptr;
constexpr void (*f32_to_f16)(const float*, std::uint16_t*, std::int64_t) = nullptr;
// NOLINTEND(readability-identifier-naming, cppcoreguidelines-avoid-non-const-global-variables)
#endif
