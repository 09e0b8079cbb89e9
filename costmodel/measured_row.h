#pragma once
// Cells of one row of a table of measurements; the first error stays.

#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <string>
#include <string_view>

#include "base/csv.h"
#include "base/result.h"

namespace pluto {

/// Reads by column name; an error names file, line and column. The table must outlive it.
class MeasuredRow {
 public:
  MeasuredRow(const CsvTable& table, std::size_t row, const std::string& file)
      : table_(table), row_(row), place_(fmt::format("{}:{}", file, table.line(row))) {}

  std::string text(std::string_view column, std::string_view fallback = {}) const {
    return table_.text(row_, column).value_or(std::string(fallback));
  }
  double number(std::string_view column, std::optional<double> fallback = {}) {
    const auto cell = table_.text(row_, column);
    if (!cell && fallback) return *fallback;
    const auto value = table_.number(row_, column);
    if (!value) return fail(column, cell ? "is no number" : "is missing");
    return *value;
  }
  double positive(std::string_view column) {
    const double value = number(column);
    return error_ || value > 0 ? value : fail(column, "must be positive");
  }
  int whole(std::string_view column, std::optional<int> fallback = {}) {
    const double value = fallback ? number(column, static_cast<double>(*fallback)) : number(column);
    if (value != std::floor(value) || std::abs(value) > 1e9) {
      return static_cast<int>(fail(column, "must be a whole number"));
    }
    return static_cast<int>(value);
  }
  bool flag(std::string_view column) {
    const int value = whole(column, 0);
    if (value != 0 && value != 1) fail(column, "must be 0, 1 or empty");
    return value == 1;
  }
  template <class T>
  T word(std::string_view column, std::string_view fallback, Result<T> (*parse)(std::string_view)) {
    auto value = parse(text(column, fallback));
    if (value.ok()) return *value;
    fail(column, value.error().message);
    return {};
  }
  double fail(std::string_view column, std::string_view why) {
    if (!error_) error_ = invalid_input(fmt::format("{}: {}: {}", place_, column, why));
    return 1;
  }
  Result<void> finish() const {
    if (error_) return *error_;
    return {};
  }
  const std::string& place() const { return place_; }
  int line() const { return table_.line(row_); }

 private:
  const CsvTable& table_;
  std::size_t row_;
  std::string place_;
  std::optional<Error> error_;
};

}  // namespace pluto
