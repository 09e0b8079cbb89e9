#pragma once
// Counter-based random numbers: the same (seed, stream, counter) gives the same bits on every
// backend, so recompute, resume and pipelines see the same dropout and the same initial weights.

#include <array>
#include <cstdint>

namespace pluto {

/// Philox4x32-10. Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2,
/// 3", SC 2011. `key` is the seed, `counter` any 128-bit position. Four independent 32-bit words.
/// Test: the paper's known answers.
std::array<std::uint32_t, 4> philox(std::uint64_t key, std::array<std::uint32_t, 4> counter);

/// Element `index` of the stream `stream` at step `step`, uniform in [0, 1).
/// Bits: word index % 4 of the block with key `seed` and counter {low(index / 4), high(index / 4),
/// stream, step}; its upper 24 bits times 2^-24. Every backend draws by this rule.
float philox_uniform(std::uint64_t seed, std::uint32_t stream, std::uint32_t step,
                     std::uint64_t index);
/// Standard normal by Box-Muller. Source: Box and Muller 1958.
/// Formula: sqrt(-2 ln u) cos(2 pi v) with u in (0, 1], v in [0, 1) from words 2j and 2j + 1, j =
/// index % 2, of the block with counter {low(index / 2), high(index / 2), stream, step}; 24 bits
/// each, computed in double.
float philox_normal(std::uint64_t seed, std::uint32_t stream, std::uint32_t step,
                    std::uint64_t index);

}  // namespace pluto
