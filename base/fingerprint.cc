#include "base/fingerprint.h"

#include <fmt/format.h>

namespace pluto {
namespace {
constexpr std::uint64_t kPrime = 1099511628211ULL;
}  // namespace

Fingerprint& Fingerprint::add(std::string_view text) {
  add_bytes(text.data(), text.size());
  return add(static_cast<std::uint64_t>(text.size()));
}

Fingerprint& Fingerprint::add(std::uint64_t number) {
  for (int shift = 0; shift < 64; shift += 8) {
    state_ = (state_ ^ ((number >> shift) & 0xff)) * kPrime;
  }
  return *this;
}

Fingerprint& Fingerprint::add_bytes(const void* data, std::size_t size) {
  const auto* bytes = static_cast<const unsigned char*>(data);
  for (std::size_t i = 0; i < size; ++i) state_ = (state_ ^ bytes[i]) * kPrime;
  return *this;
}

// FNV leaves the low bits of its last bytes weakly mixed; this is the finalizer of MurmurHash3
// (Appleby 2011).
std::uint64_t Fingerprint::value() const {
  std::uint64_t hash = state_;
  hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccdULL;
  hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53ULL;
  return hash ^ (hash >> 33);
}

std::string Fingerprint::hex() const { return to_hex(value()); }

std::string to_hex(std::uint64_t value) { return fmt::format("{:016x}", value); }

}  // namespace pluto
