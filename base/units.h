#pragma once
// Units are types: Bytes / BytesPerSecond is Seconds; Seconds + Bytes does not compile.

#include <compare>
#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace pluto {

/// A number with a unit. `Unit` is a tag, `Rep` the number type. Only like units add and compare;
/// the lawful products and quotients of unlike units are the free operators below.
template <class Unit, class Rep>
class Quantity {
 public:
  using rep = Rep;
  constexpr Quantity() = default;
  constexpr explicit Quantity(Rep value) : value_(value) {}
  constexpr Rep value() const { return value_; }

  constexpr auto operator<=>(const Quantity&) const = default;
  constexpr Quantity operator-() const { return Quantity(-value_); }
  constexpr Quantity& operator+=(Quantity other) {
    value_ += other.value_;
    return *this;
  }
  constexpr Quantity& operator-=(Quantity other) {
    value_ -= other.value_;
    return *this;
  }
  friend constexpr Quantity operator+(Quantity a, Quantity b) { return a += b; }
  friend constexpr Quantity operator-(Quantity a, Quantity b) { return a -= b; }
  friend constexpr Quantity operator*(Quantity a, Rep k) { return Quantity(a.value_ * k); }
  friend constexpr Quantity operator*(Rep k, Quantity a) { return Quantity(a.value_ * k); }
  friend constexpr Quantity operator/(Quantity a, Rep k) { return Quantity(a.value_ / k); }
  /// A whole quantity times a fraction would drop the fraction in silence: convert and round by
  /// hand.
  template <std::floating_point Fraction>
  requires std::integral<Rep>
  friend constexpr Quantity operator*(Quantity, Fraction) = delete;
  template <std::floating_point Fraction>
  requires std::integral<Rep>
  friend constexpr Quantity operator*(Fraction, Quantity) = delete;
  template <std::floating_point Fraction>
  requires std::integral<Rep>
  friend constexpr Quantity operator/(Quantity, Fraction) = delete;
  /// Ratio of two like quantities: a plain number.
  friend constexpr double operator/(Quantity a, Quantity b) {
    return static_cast<double>(a.value_) / static_cast<double>(b.value_);
  }

 private:
  Rep value_{};
};

using Seconds = Quantity<struct SecondsUnit, double>;
using Bytes = Quantity<struct BytesUnit, std::int64_t>;
using Flops = Quantity<struct FlopsUnit, double>;  ///< floating-point operations (a count)
using BytesPerSecond = Quantity<struct BytesPerSecondUnit, double>;
using FlopsPerSecond = Quantity<struct FlopsPerSecondUnit, double>;
using Dollars = Quantity<struct DollarsUnit, double>;
using DollarsPerHour = Quantity<struct DollarsPerHourUnit, double>;

constexpr Seconds operator/(Bytes amount, BytesPerSecond rate) {
  return Seconds(static_cast<double>(amount.value()) / rate.value());
}
constexpr Seconds operator/(Flops amount, FlopsPerSecond rate) {
  return Seconds(amount.value() / rate.value());
}
constexpr BytesPerSecond operator/(Bytes amount, Seconds time) {
  return BytesPerSecond(static_cast<double>(amount.value()) / time.value());
}
constexpr FlopsPerSecond operator/(Flops amount, Seconds time) {
  return FlopsPerSecond(amount.value() / time.value());
}
constexpr Dollars operator*(DollarsPerHour price, Seconds time) {
  return Dollars(price.value() * time.value() / 3600.0);
}

/// "90s", "1.5h", "250 ms", "2h05m": a positive number and one of ns us ms s m h d; several such
/// pieces may follow each other from larger to smaller unit. Errors: kInvalidInput saying what was
/// read and what is allowed.
Result<Seconds> parse_duration(std::string_view text);
/// "80GiB", "4096", "2 MB": a non-negative number with an optional B kB MB GB TB KiB MiB GiB TiB,
/// rounded to whole bytes. Errors: as above.
Result<Bytes> parse_bytes(std::string_view text);

std::string to_text(
    Seconds time);  ///< three significant digits: "1.23 ms"; from a minute on "2h05m"
std::string to_text(Bytes amount);         ///< binary units: "61.2 MiB"
std::string to_text(Flops amount);         ///< decimal: "4.09 GFLOP"
std::string to_text(BytesPerSecond rate);  ///< decimal: "12.3 GB/s"
std::string to_text(FlopsPerSecond rate);  ///< decimal: "101 GFLOP/s"
std::string to_text(Dollars amount);       ///< "$1.23", "$0.00042"

}  // namespace pluto
