#include "base/philox.h"

#include <cmath>
#include <numbers>

namespace pluto {
namespace {

constexpr std::uint64_t kMultiplier0 = 0xD2511F53;
constexpr std::uint64_t kMultiplier1 = 0xCD9E8D57;
constexpr std::uint32_t kWeyl0 = 0x9E3779B9;  // golden ratio
constexpr std::uint32_t kWeyl1 = 0xBB67AE85;  // sqrt(3) - 1
constexpr int kRounds = 10;

std::uint32_t low(std::uint64_t value) { return static_cast<std::uint32_t>(value); }
std::uint32_t high(std::uint64_t value) { return static_cast<std::uint32_t>(value >> 32); }

}  // namespace

std::array<std::uint32_t, 4> philox(std::uint64_t key, std::array<std::uint32_t, 4> counter) {
  std::uint32_t key0 = low(key);
  std::uint32_t key1 = high(key);
  for (int round = 0; round < kRounds; ++round) {
    const std::uint64_t product0 = kMultiplier0 * counter[0];
    const std::uint64_t product1 = kMultiplier1 * counter[2];
    counter = {high(product1) ^ counter[1] ^ key0, low(product1),
               high(product0) ^ counter[3] ^ key1, low(product0)};
    key0 += kWeyl0;
    key1 += kWeyl1;
  }
  return counter;
}

float philox_uniform(std::uint64_t seed, std::uint32_t stream, std::uint32_t step,
                     std::uint64_t index) {
  const std::uint64_t block = index / 4;
  const auto words = philox(seed, {low(block), high(block), stream, step});
  return static_cast<float>(words[index % 4] >> 8) * 0x1p-24F;
}

float philox_normal(std::uint64_t seed, std::uint32_t stream, std::uint32_t step,
                    std::uint64_t index) {
  const std::uint64_t block = index / 2;
  const auto words = philox(seed, {low(block), high(block), stream, step});
  const std::size_t first = 2 * (index % 2);
  const double u = static_cast<double>((words[first] >> 8) + 1) * 0x1p-24;
  const double v = static_cast<double>(words[first + 1] >> 8) * 0x1p-24;
  return static_cast<float>(std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v));
}

}  // namespace pluto
