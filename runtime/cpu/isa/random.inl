// Dropout: the counter-based stream of base/philox.h, many blocks at a time.

constexpr std::int64_t kDrawBlocks = 64;

// Words of kDrawBlocks consecutive blocks. The same bits as pluto::philox(). Source: Salmon,
// Moraes, Dror, Shaw 2011.
static void draw_words(const DropoutDraw& draw, std::uint64_t block, std::uint32_t* words) {
  alignas(64) std::uint32_t x0[kDrawBlocks], x1[kDrawBlocks], x2[kDrawBlocks], x3[kDrawBlocks];
#pragma omp simd
  for (std::int64_t b = 0; b < kDrawBlocks; ++b) {
    const std::uint64_t counter = block + static_cast<std::uint64_t>(b);
    x0[b] = static_cast<std::uint32_t>(counter);
    x1[b] = static_cast<std::uint32_t>(counter >> 32);
    x2[b] = draw.stream;
    x3[b] = draw.step;
  }
  std::uint32_t k0 = static_cast<std::uint32_t>(draw.seed),
                k1 = static_cast<std::uint32_t>(draw.seed >> 32);
  for (int round = 0; round < 10; ++round) {
#pragma omp simd
    for (std::int64_t b = 0; b < kDrawBlocks; ++b) {
      const std::uint64_t p0 = std::uint64_t{0xD2511F53U} * x0[b],
                          p1 = std::uint64_t{0xCD9E8D57U} * x2[b];
      x0[b] = static_cast<std::uint32_t>(p1 >> 32) ^ x1[b] ^ k0;
      x2[b] = static_cast<std::uint32_t>(p0 >> 32) ^ x3[b] ^ k1;
      x1[b] = static_cast<std::uint32_t>(p1);
      x3[b] = static_cast<std::uint32_t>(p0);
    }
    k0 += 0x9E3779B9U;
    k1 += 0xBB67AE85U;
  }
#pragma omp simd
  for (std::int64_t b = 0; b < kDrawBlocks; ++b) {
    words[4 * b] = x0[b];
    words[4 * b + 1] = x1[b];
    words[4 * b + 2] = x2[b];
    words[4 * b + 3] = x3[b];
  }
}

static void dropout(const DropoutDraw& draw, std::uint64_t first, const float* x, float* y,
                    std::int64_t n) {
  alignas(64) std::uint32_t words[4 * kDrawBlocks];
  for (std::int64_t done = 0; done < n;) {
    const std::uint64_t at = first + static_cast<std::uint64_t>(done);
    const std::int64_t skip = static_cast<std::int64_t>(at % 4);
    const std::int64_t count = least(4 * kDrawBlocks - skip, n - done);
    draw_words(draw, at / 4, words);
    const std::uint32_t* word = words + skip;
    const float* from = x + done;
    float* to = y + done;
#pragma omp simd
    for (std::int64_t i = 0; i < count; ++i) {
      to[i] = (word[i] >> 8) >= draw.threshold ? from[i] * draw.scale : 0.0f;
    }
    done += count;
  }
}
