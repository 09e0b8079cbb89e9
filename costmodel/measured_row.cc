#include "costmodel/measured_row.h"

#include <fmt/format.h>

#include <cmath>

namespace pluto {

MeasuredRow::MeasuredRow(const CsvTable& table, std::size_t row, const std::string& file)
    : table_(table), row_(row), place_(fmt::format("{}:{}", file, table.line(row))) {}

std::string MeasuredRow::text(std::string_view column, std::string_view fallback) const {
  return table_.text(row_, column).value_or(std::string(fallback));
}

double MeasuredRow::number(std::string_view column, std::optional<double> fallback) {
  const auto cell = table_.text(row_, column);
  if (!cell && fallback) return *fallback;
  const auto value = table_.number(row_, column);
  if (value) return *value;
  return fail(column, cell ? fmt::format("'{}' is no number", *cell) : "is missing",
              "write a plain number, for example 0.25");
}

double MeasuredRow::positive(std::string_view column) {
  const double value = number(column);
  return error_ || value > 0 ? value
                             : fail(column, "must be positive", "write a number above zero");
}

int MeasuredRow::whole(std::string_view column, std::optional<int> fallback) {
  const double value = fallback ? number(column, static_cast<double>(*fallback)) : number(column);
  if (value != std::floor(value) || std::abs(value) > 1e9) {
    return static_cast<int>(
        fail(column, fmt::format("{} must be a whole number", value), "for example 8"));
  }
  return static_cast<int>(value);
}

bool MeasuredRow::flag(std::string_view column) {
  const int value = whole(column, 0);
  if (value != 0 && value != 1) {
    fail(column, fmt::format("is {}", value), "write 1 for yes, 0 or nothing for no");
  }
  return value == 1;
}

double MeasuredRow::fail(std::string_view column, std::string_view why, std::string_view help) {
  if (!error_) {
    error_ = invalid_input(fmt::format("{}: {}: {}", place_, column, why), std::string(help));
  }
  return 1;
}

Result<void> MeasuredRow::finish() const {
  if (error_) return *error_;
  return {};
}

}  // namespace pluto
