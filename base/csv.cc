#include "base/csv.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace pluto {
namespace {

// Cuts text into rows of cells, one row a call.
class CsvScanner {
 public:
  CsvScanner(std::string_view text, const std::string& source) : rest_(text), source_(&source) {
    if (constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
        rest_.starts_with(kByteOrderMark)) {
      rest_.remove_prefix(kByteOrderMark.size());
    }
  }

  /// Line on which the row last returned began.
  int row_line() const { return row_line_; }

  /// The next row that is not blank, or no cells at the end of the text.
  Result<std::vector<std::string>> next_row() {
    while (!rest_.empty() && take_line_end()) {
    }
    std::vector<std::string> cells;
    row_line_ = line_;
    if (rest_.empty()) return cells;
    while (true) {
      PLUTO_ASSIGN(std::string cell, rest_.starts_with('"') ? quoted_cell() : plain_cell());
      cells.push_back(std::move(cell));
      if (rest_.empty() || take_line_end()) return cells;
      if (rest_.front() != ',') return error(line_, "text after a closing quote");
      rest_.remove_prefix(1);
    }
  }

  Error error(int line, const std::string& message) const {
    return invalid_input(fmt::format("{}:{}: {}", *source_, line, message));
  }

 private:
  bool take_line_end() {
    const std::size_t size = rest_.starts_with("\r\n") ? 2 : rest_.starts_with('\n') ? 1 : 0;
    rest_.remove_prefix(size);
    line_ += size > 0 ? 1 : 0;
    return size > 0;
  }

  Result<std::string> plain_cell() {
    std::string_view cell = rest_.substr(0, rest_.find_first_of(",\n\""));
    if (cell.size() < rest_.size() && rest_[cell.size()] == '"') {
      return error(line_, "a quote inside a cell that does not begin with one");
    }
    // The carriage return of a line end, and only that, is no content.
    if (cell.ends_with('\r') && cell.size() < rest_.size() && rest_[cell.size()] == '\n')
      cell.remove_suffix(1);
    rest_.remove_prefix(cell.size());
    return std::string(cell);
  }

  Result<std::string> quoted_cell() {
    const int opened = line_;
    std::string cell;
    rest_.remove_prefix(1);
    while (true) {
      const std::size_t quote = rest_.find('"');
      if (quote == std::string_view::npos) return error(opened, "the quote is never closed");
      const std::string_view piece = rest_.substr(0, quote);
      line_ += static_cast<int>(std::count(piece.begin(), piece.end(), '\n'));
      cell += piece;
      rest_.remove_prefix(quote + 1);
      if (!rest_.starts_with('"')) return cell;
      cell += '"';
      rest_.remove_prefix(1);
    }
  }

  std::string_view rest_;
  const std::string* source_;
  int line_ = 1;
  int row_line_ = 1;
};

}  // namespace

Result<CsvTable> CsvTable::parse(std::string_view text, const std::string& source) {
  CsvScanner scanner(text, source);
  CsvTable table;
  PLUTO_ASSIGN(table.columns_, scanner.next_row());
  if (table.columns_.empty()) return scanner.error(1, "no header row");
  for (auto column = table.columns_.begin(); column != table.columns_.end(); ++column) {
    if (std::find(table.columns_.begin(), column, *column) != column) {
      return scanner.error(scanner.row_line(),
                           fmt::format("the column \"{}\" appears twice", *column));
    }
  }
  while (true) {
    PLUTO_ASSIGN(std::vector<std::string> row, scanner.next_row());
    if (row.empty()) return table;
    if (row.size() != table.columns_.size()) {
      return scanner.error(scanner.row_line(), fmt::format("{} cells, but the header has {}",
                                                           row.size(), table.columns_.size()));
    }
    table.cells_.push_back(std::move(row));
    table.lines_.push_back(scanner.row_line());
  }
}

std::optional<std::string> CsvTable::text(std::size_t row, std::string_view column) const {
  const auto found = std::find(columns_.begin(), columns_.end(), column);
  if (found == columns_.end() || row >= cells_.size()) return std::nullopt;
  const std::string& cell = cells_[row][static_cast<std::size_t>(found - columns_.begin())];
  return cell.empty() ? std::nullopt : std::optional(cell);
}

std::optional<double> CsvTable::number(std::size_t row, std::string_view column) const {
  const auto cell = text(row, column);
  return cell ? parse_number(trim(*cell)) : std::nullopt;
}

}  // namespace pluto
