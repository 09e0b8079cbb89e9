#pragma once
// Reader of comma-separated files with a header row (RFC 4180 quoting).

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace pluto {

/// Rows of a CSV file by column name.
class CsvTable {
 public:
  /// Errors: kInvalidInput with "source:line: ..." for ragged rows, an unclosed quote, no header.
  static Result<CsvTable> parse(std::string_view text, const std::string& source);
  std::size_t rows() const { return cells_.size(); }
  const std::vector<std::string>& columns() const { return columns_; }
  /// 1-based line in the source text on which the row begins.
  int line(std::size_t row) const { return lines_[row]; }
  /// Cell as text; nullopt when the cell is empty or there is no such column.
  std::optional<std::string> text(std::size_t row, std::string_view column) const;
  /// Cell as number; nullopt when empty, absent or no number.
  std::optional<double> number(std::size_t row, std::string_view column) const;

 private:
  std::vector<std::string> columns_;
  std::vector<std::vector<std::string>> cells_;
  std::vector<int> lines_;
};

}  // namespace pluto
