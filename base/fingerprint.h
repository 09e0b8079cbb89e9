#pragma once
// A stable 64-bit fingerprint: same input, same number, on every machine and in every version.

#include <bit>
#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace pluto {

/// FNV-1a, 64 bit, with a final avalanche. Formula: h = (h ^ byte) * 1099511628211.
/// Source: Fowler, Noll, Vo (IETF draft-eastlake-fnv). Not cryptographic.
class Fingerprint {
 public:
  /// The text and then its length, so that ("ab", "c") differs from ("a", "bc").
  Fingerprint& add(std::string_view text);
  /// Eight bytes, least significant first.
  Fingerprint& add(std::uint64_t number);
  /// The bits of the number as double; both zeros are the same.
  template <std::floating_point Number>
  Fingerprint& add(Number number) {
    return add(std::bit_cast<std::uint64_t>(static_cast<double>(number) + 0.0));
  }
  Fingerprint& add_bytes(const void* data, std::size_t size);
  std::uint64_t value() const;
  std::string hex() const;  ///< 16 lower-case hexadecimal digits of value()

 private:
  std::uint64_t state_ = 14695981039346656037ULL;
};

std::string to_hex(std::uint64_t value);  ///< 16 lower-case hexadecimal digits

}  // namespace pluto
