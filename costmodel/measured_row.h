#pragma once
// Cells of one row of a table of measurements; the first error stays.

#include <optional>
#include <string>
#include <string_view>

#include "base/csv.h"
#include "base/result.h"

namespace pluto {

/// Reads by column name; an error names file, line and column. The table must outlive it.
class MeasuredRow {
 public:
  MeasuredRow(const CsvTable& table, std::size_t row, const std::string& file);

  /// An empty cell has the fallback; without one it is an error.
  std::string text(std::string_view column, std::string_view fallback = {}) const;
  double number(std::string_view column, std::optional<double> fallback = {});
  double positive(std::string_view column);
  int whole(std::string_view column, std::optional<int> fallback = {});
  bool flag(std::string_view column);  ///< 0, 1 or empty
  template <class T>
  T word(std::string_view column, std::string_view fallback, Result<T> (*parse)(std::string_view)) {
    auto value = parse(text(column, fallback));
    if (value.ok()) return *value;
    fail(column, value.error().message, value.error().help);
    return {};
  }
  /// Keeps the error if it is the first; returns 1, which no later check refuses.
  double fail(std::string_view column, std::string_view why, std::string_view help = {});
  /// Errors: kInvalidInput, the first that was kept.
  Result<void> finish() const;
  const std::string& place() const { return place_; }  ///< "file:line"
  int line() const { return table_.line(row_); }

 private:
  const CsvTable& table_;
  std::size_t row_;
  std::string place_;
  std::optional<Error> error_;
};

}  // namespace pluto
