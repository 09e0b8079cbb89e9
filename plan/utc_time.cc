#include "plan/utc_time.h"

#include <fmt/format.h>

#include <chrono>
#include <optional>

namespace pluto {
namespace {

Error not_a_time(std::string_view text, std::string_view why) {
  return invalid_input(fmt::format("\"{}\": {}", text, why),
                       "write for example 2026-12-01T08:00Z (Z is UTC)");
}

// Takes exactly `count` digits off the front.
std::optional<int> take_digits(std::string_view& text, int count) {
  int number = 0;
  for (int i = 0; i < count; ++i) {
    if (text.empty() || text.front() < '0' || text.front() > '9') return std::nullopt;
    number = 10 * number + (text.front() - '0');
    text.remove_prefix(1);
  }
  return number;
}

bool take(std::string_view& text, char expected) {
  if (text.empty() || text.front() != expected) return false;
  text.remove_prefix(1);
  return true;
}

// "Z", "+02:00" or "-05:30": seconds east of UTC.
std::optional<int> take_zone(std::string_view& text) {
  if (take(text, 'Z')) return 0;
  const bool east = take(text, '+');
  if (!east && !take(text, '-')) return std::nullopt;
  const auto hours = take_digits(text, 2);
  if (!hours || !take(text, ':')) return std::nullopt;
  const auto minutes = take_digits(text, 2);
  if (!minutes || *hours > 14 || *minutes > 59) return std::nullopt;
  return (east ? 60 : -60) * (60 * *hours + *minutes);
}

}  // namespace

bool looks_like_date(std::string_view text) {
  return take_digits(text, 4).has_value() && take(text, '-');
}

Result<double> parse_utc(std::string_view text) {
  constexpr std::string_view kForm = "expected a time like 2026-12-01T08:00Z";
  std::string_view rest = text;
  const auto year = take_digits(rest, 4);
  if (!year || !take(rest, '-')) return not_a_time(text, kForm);
  const auto month = take_digits(rest, 2);
  if (!month || !take(rest, '-')) return not_a_time(text, kForm);
  const auto day = take_digits(rest, 2);
  if (!day || !take(rest, 'T')) return not_a_time(text, kForm);
  const auto hour = take_digits(rest, 2);
  if (!hour || !take(rest, ':')) return not_a_time(text, kForm);
  const auto minute = take_digits(rest, 2);
  if (!minute) return not_a_time(text, kForm);
  int second = 0;
  if (take(rest, ':')) {
    const auto digits = take_digits(rest, 2);
    if (!digits) return not_a_time(text, kForm);
    second = *digits;
  }
  if (rest.empty()) return not_a_time(text, "the time zone is missing");
  const auto zone = take_zone(rest);
  if (!zone || !rest.empty()) return not_a_time(text, kForm);

  const std::chrono::year_month_day date{std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok() || *hour > 23 || *minute > 59 || second > 59) {
    return not_a_time(text, "there is no such day or hour");
  }
  const auto days = std::chrono::sys_days(date).time_since_epoch();
  return 86400.0 * static_cast<double>(days.count()) + 3600.0 * *hour + 60.0 * *minute + second -
         *zone;
}

}  // namespace pluto
