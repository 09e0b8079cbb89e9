#include <bit>

#include "base/check.h"
#include "base/philox.h"
#include "executor/data_source.h"

namespace pluto {

namespace {
constexpr std::uint32_t kRounds = 6;
// Keeps the order apart from the initial values and dropout masks of the same seed.
constexpr std::uint64_t kOrderKey = 0x9e3779b97f4a7c15;
}  // namespace

SampleOrder::SampleOrder(std::int64_t samples, std::uint64_t seed)
    : samples_(samples), seed_(seed) {
  PLUTO_CHECK(samples > 0, "an order of no samples");
}

// A Feistel network permutes [0, 4^k) whatever its round function; walking its cycle until the
// value is below the number of samples makes that a permutation of them. Needs no memory, and any
// position is known at once. Source: Black and Rogaway 2002, "Ciphers with arbitrary finite
// domains".
std::int64_t SampleOrder::index(std::int64_t position) const {
  const auto epoch = static_cast<std::uint64_t>(position / samples_);
  const auto count = static_cast<std::uint64_t>(samples_);
  const int bits = std::bit_width(count - 1);
  const int half = bits < 2 ? 1 : (bits + 1) / 2;
  const std::uint64_t mask = (std::uint64_t{1} << half) - 1;
  auto value = static_cast<std::uint64_t>(position % samples_);
  do {
    std::uint64_t left = value >> half, right = value & mask;
    for (std::uint32_t round = 0; round < kRounds; ++round) {
      const auto words = philox(seed_ ^ kOrderKey, {static_cast<std::uint32_t>(right), round,
                                                    static_cast<std::uint32_t>(epoch),
                                                    static_cast<std::uint32_t>(epoch >> 32)});
      const std::uint64_t mixed = left ^ (words[0] & mask);
      left = right;
      right = mixed;
    }
    value = left << half | right;
  } while (value >= count);
  return static_cast<std::int64_t>(value);
}

}  // namespace pluto
