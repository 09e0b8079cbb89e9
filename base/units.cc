#include "base/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <span>

#include "base/text.h"

namespace pluto {
namespace {

struct DurationUnit {
  std::string_view name;
  double seconds;
};
constexpr DurationUnit kDurationUnits[] = {{"ns", 1e-9}, {"us", 1e-6}, {"ms", 1e-3}, {"s", 1},
                                           {"m", 60},    {"h", 3600},  {"d", 86400}};

struct ByteUnit {
  std::string_view name;
  std::int64_t bytes;
};
constexpr ByteUnit kByteUnits[] = {{"", 1},
                                   {"B", 1},
                                   {"kB", 1'000},
                                   {"MB", 1'000'000},
                                   {"GB", 1'000'000'000},
                                   {"TB", 1'000'000'000'000},
                                   {"KiB", std::int64_t{1} << 10},
                                   {"MiB", std::int64_t{1} << 20},
                                   {"GiB", std::int64_t{1} << 30},
                                   {"TiB", std::int64_t{1} << 40}};

Error not_a_duration(std::string_view text) {
  return invalid_input(fmt::format("\"{}\": expected a number and one of ns us ms s m h d", text),
                       "write for example 90s, 1.5h or 2h30m");
}

Error not_bytes(std::string_view text) {
  return invalid_input(
      fmt::format("\"{}\": expected a number and one of B kB MB GB TB KiB MiB GiB TiB", text),
      "write for example 4096, 512MiB or 80GB");
}

// Takes the characters of `set` off the front of `text`.
std::string_view take_while(std::string_view& text, std::string_view set) {
  const std::string_view taken = text.substr(0, text.find_first_not_of(set));
  text.remove_prefix(taken.size());
  return taken;
}

std::string_view take_letters(std::string_view& text) {
  return take_while(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
}

// The digits, point and exponent at the front of `text`. An "e" belongs to the number only before a
// digit or a sign.
std::string_view take_number(std::string_view& text) {
  constexpr std::string_view kDigits = "0123456789.";
  const std::string_view whole = text;
  take_while(text, "-");
  take_while(text, kDigits);
  if (text.size() > 1 && (text[0] == 'e' || text[0] == 'E') &&
      (kDigits.find(text[1]) != std::string_view::npos || text[1] == '-' || text[1] == '+')) {
    text.remove_prefix(2);
    take_while(text, kDigits);
  }
  return whole.substr(0, whole.size() - text.size());
}

const DurationUnit* find_duration_unit(std::string_view name) {
  const auto* unit = std::find_if(std::begin(kDurationUnits), std::end(kDurationUnits),
                                  [&](const DurationUnit& u) { return u.name == name; });
  return unit == std::end(kDurationUnits) ? nullptr : unit;
}

// Three significant digits of a value below 1000 (or a few more digits below 1024).
std::string three_digits(double value) {
  const double magnitude = std::abs(value);
  if (magnitude < 9.995) return fmt::format("{:.2f}", value);
  if (magnitude < 99.95) return fmt::format("{:.1f}", value);
  return fmt::format("{:.0f}", value);
}

// The largest unit in which the rounded value stays below `step`.
std::string scaled(double value, double step, std::span<const std::string_view> units) {
  std::size_t unit = 0;
  while (std::abs(value) >= step - 0.5 && unit + 1 < units.size()) {
    value /= step;
    ++unit;
  }
  return fmt::format("{} {}", three_digits(value), units[unit]);
}

std::string long_duration(double seconds) {
  const auto total = static_cast<std::int64_t>(std::llround(seconds));
  const std::int64_t minutes = total / 60;
  const std::int64_t hours = minutes / 60;
  if (hours == 0) return fmt::format("{}m{:02}s", minutes, total % 60);
  // From here on the last unit is the minute or the hour: round to it.
  const std::int64_t rounded_minutes = (total + 30) / 60;
  if (rounded_minutes < 24 * 60)
    return fmt::format("{}h{:02}m", rounded_minutes / 60, rounded_minutes % 60);
  const std::int64_t rounded_hours = (total + 1800) / 3600;
  return fmt::format("{}d{:02}h", rounded_hours / 24, rounded_hours % 24);
}

}  // namespace

Result<Seconds> parse_duration(std::string_view text) {
  std::string_view rest = trim(text);
  double seconds = 0;
  double last_unit = std::numeric_limits<double>::infinity();
  do {
    const std::optional<double> number = parse_number(take_number(rest));
    take_while(rest, " ");
    const DurationUnit* unit = find_duration_unit(take_letters(rest));
    if (!number || unit == nullptr || unit->seconds >= last_unit) return not_a_duration(text);
    if (*number < 0) {
      return invalid_input(fmt::format("\"{}\": expected a positive duration", text));
    }
    seconds += *number * unit->seconds;
    last_unit = unit->seconds;
  } while (!rest.empty());
  if (seconds <= 0 || !std::isfinite(seconds)) {
    return invalid_input(fmt::format("\"{}\": expected a positive duration", text));
  }
  return Seconds(seconds);
}

Result<Bytes> parse_bytes(std::string_view text) {
  std::string_view rest = trim(text);
  const std::string_view digits = take_number(rest);
  take_while(rest, " ");
  const std::string_view name = take_letters(rest);
  const auto* unit = std::find_if(std::begin(kByteUnits), std::end(kByteUnits),
                                  [&](const ByteUnit& u) { return u.name == name; });
  const std::optional<double> number = parse_number(digits);
  if (!number || unit == std::end(kByteUnits) || !rest.empty()) return not_bytes(text);
  if (*number < 0) return invalid_input(fmt::format("\"{}\": expected no negative amount", text));

  // Whole numbers stay exact beyond the 53 bits of a double.
  std::int64_t bytes = 0;
  if (const auto whole = parse_integer(digits);
      whole && !__builtin_mul_overflow(*whole, unit->bytes, &bytes)) {
    return Bytes(bytes);
  }
  const double product = std::round(*number * static_cast<double>(unit->bytes));
  if (product >= 0x1p63) {
    return invalid_input(fmt::format("\"{}\": expected less than 8 EiB (2^63 bytes)", text));
  }
  return Bytes(static_cast<std::int64_t>(product));
}

std::string to_text(Seconds time) {
  const double seconds = time.value();
  const double magnitude = std::abs(seconds);
  if (!std::isfinite(seconds)) return fmt::format("{} s", seconds);
  if (magnitude >= 59.95 && magnitude < 1e15) {
    return (seconds < 0 ? "-" : "") + long_duration(magnitude);
  }
  if (magnitude >= 59.95) return fmt::format("{:.2e} s", seconds);
  if (magnitude == 0) return "0 s";
  if (magnitude >= 0.9995) return three_digits(seconds) + " s";
  if (magnitude >= 0.9995e-3) return three_digits(seconds * 1e3) + " ms";
  if (magnitude >= 0.9995e-6) return three_digits(seconds * 1e6) + " us";
  return three_digits(seconds * 1e9) + " ns";
}

std::string to_text(Bytes amount) {
  constexpr std::string_view kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (std::abs(static_cast<double>(amount.value())) < 1024)
    return fmt::format("{} B", amount.value());
  return scaled(static_cast<double>(amount.value()), 1024, kUnits);
}

std::string to_text(Flops amount) {
  constexpr std::string_view kUnits[] = {"FLOP",  "kFLOP", "MFLOP", "GFLOP", "TFLOP",
                                         "PFLOP", "EFLOP", "ZFLOP", "YFLOP"};
  return scaled(amount.value(), 1000, kUnits);
}

std::string to_text(BytesPerSecond rate) {
  constexpr std::string_view kUnits[] = {"B/s", "kB/s", "MB/s", "GB/s", "TB/s", "PB/s"};
  return scaled(rate.value(), 1000, kUnits);
}

std::string to_text(FlopsPerSecond rate) {
  constexpr std::string_view kUnits[] = {"FLOP/s",  "kFLOP/s", "MFLOP/s", "GFLOP/s",
                                         "TFLOP/s", "PFLOP/s", "EFLOP/s"};
  return scaled(rate.value(), 1000, kUnits);
}

// Cents, or two significant digits where a price is smaller than that shows.
std::string to_text(Dollars amount) {
  const double magnitude = std::abs(amount.value());
  const std::string sign = amount.value() < 0 ? "-" : "";
  if (magnitude == 0 || magnitude >= 1 || !std::isfinite(magnitude))
    return fmt::format("{}${:.2f}", sign, magnitude);
  const int decimals = std::clamp(1 - static_cast<int>(std::floor(std::log10(magnitude))), 2, 12);
  std::string text = fmt::format("{:.{}f}", magnitude, decimals);
  while (text.ends_with('0') && text.size() > std::string_view("0.00").size()) text.pop_back();
  return sign + "$" + text;
}

}  // namespace pluto
