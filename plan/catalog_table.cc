#include "plan/catalog_table.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/document.h"

namespace pluto {

Result<CatalogTable> CatalogTable::read(const std::string& path,
                                        const std::vector<std::string>& required_columns) {
  PLUTO_ASSIGN(const std::string text, read_file(path));
  PLUTO_ASSIGN(CsvTable table, CsvTable::parse(text, path));
  const std::vector<std::string>& present = table.columns();
  for (const std::string& column : required_columns) {
    if (std::find(present.begin(), present.end(), column) != present.end()) continue;
    return invalid_input(fmt::format("{}:1: there is no column \"{}\"", path, column),
                         fmt::format("the columns are {}", fmt::join(present, ", ")));
  }
  return CatalogTable(std::move(table), path);
}

std::string CatalogTable::text(std::size_t row, std::string_view column) const {
  return table_.text(row, column).value_or("");
}

Result<std::optional<double>> CatalogTable::amount(std::size_t row, std::string_view column) const {
  const std::optional<std::string> cell = table_.text(row, column);
  if (!cell) return std::optional<double>();
  const std::optional<double> number = table_.number(row, column);
  if (number && *number >= 0) return number;
  return invalid_input(
      fmt::format("{}: {}: \"{}\": expected a number, zero or above", place(row), column, *cell));
}

Result<double> CatalogTable::positive(std::size_t row, std::string_view column) const {
  PLUTO_ASSIGN(const std::optional<double> number, amount(row, column));
  if (number && *number > 0) return *number;
  return invalid_input(fmt::format("{}: {}: expected a number above zero", place(row), column));
}

Result<std::string> CatalogTable::name(std::size_t row, std::string_view column) const {
  std::string cell = text(row, column);
  if (!cell.empty()) return cell;
  return invalid_input(fmt::format("{}: {}: the cell is empty", place(row), column));
}

std::string CatalogTable::place(std::size_t row) const {
  return fmt::format("{}:{}", path_, table_.line(row));
}

bool matches(std::string_view pattern, std::string_view text) {
  const std::size_t star = pattern.find('*');
  if (star == std::string_view::npos) return pattern == text;
  if (!text.starts_with(pattern.substr(0, star))) return false;
  const std::string_view rest = pattern.substr(star + 1);
  for (std::size_t at = star; at <= text.size(); ++at) {
    if (matches(rest, text.substr(at))) return true;
  }
  return false;
}

}  // namespace pluto
