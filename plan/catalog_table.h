#pragma once
// A CSV file whose cells are asked for with the line and column in every error.

#include <string>
#include <string_view>
#include <vector>

#include "base/csv.h"
#include "base/result.h"

namespace pluto {

class CatalogTable {
 public:
  /// Errors: kNotFound, kIo, kInvalidInput naming the file and, for columns that are missing, what
  /// is there.
  static Result<CatalogTable> read(const std::string& path,
                                   const std::vector<std::string>& required_columns);
  std::size_t rows() const { return table_.rows(); }
  /// Empty for an empty cell or an absent column.
  std::string text(std::size_t row, std::string_view column) const;
  /// Nullopt for an empty cell; kInvalidInput "file:line: column: ..." for text or a negative
  /// number.
  Result<std::optional<double>> amount(std::size_t row, std::string_view column) const;
  /// As amount, above zero; an empty cell is an error too.
  Result<double> positive(std::size_t row, std::string_view column) const;
  /// As text; an empty cell is an error.
  Result<std::string> name(std::size_t row, std::string_view column) const;
  /// "file:line"
  std::string place(std::size_t row) const;

 private:
  CatalogTable(CsvTable table, std::string path)
      : table_(std::move(table)), path_(std::move(path)) {}
  CsvTable table_;
  std::string path_;
};

/// "aws:p4*" matches "aws:p4d.24xlarge"; `*` stands for any text, all else for itself.
bool matches(std::string_view pattern, std::string_view text);

}  // namespace pluto
