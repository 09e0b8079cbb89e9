#include "base/text.h"

#include <algorithm>
#include <charconv>
#include <numeric>

namespace pluto {
namespace {

constexpr std::string_view kBlank = " \t\n\r\f\v";

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Optimal string alignment: insert, delete, replace, or swap two neighbours.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> two_above;
  std::vector<std::size_t> above(b.size() + 1);
  std::iota(above.begin(), above.end(), std::size_t{0});
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, replaced});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], two_above[j - 2] + 1);
      }
    }
    two_above = above;
    std::swap(above, row);
  }
  return above[b.size()];
}

template <class Number, class... Format>
std::optional<Number> parse_whole(std::string_view text, Format... format) {
  Number number{};
  const auto [end, code] =
      std::from_chars(text.data(), text.data() + text.size(), number, format...);
  if (code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

bool looks_numeric(std::string_view cell) {
  cell.remove_prefix(std::min(cell.find_first_not_of("+-$~<>"), cell.size()));
  if (cell.empty() || !is_digit(cell.front())) return false;
  cell.remove_prefix(std::min(cell.find_first_not_of("0123456789.,"), cell.size()));
  if (cell.empty() || cell == "%") return true;
  // "61.2 MiB" has one word for its unit; "2h05m" and "4x" have lower-case letters.
  if (cell.front() == ' ') return cell.size() > 1 && cell.find(' ', 1) == std::string_view::npos;
  return std::all_of(cell.begin(), cell.end(),
                     [](char c) { return (c >= 'a' && c <= 'z') || is_digit(c); });
}

bool is_numeric_column(const std::vector<std::vector<std::string>>& rows, std::size_t column) {
  bool numeric = false;
  for (std::size_t row = 1; row < rows.size(); ++row) {
    if (column >= rows[row].size()) continue;
    const std::string& cell = rows[row][column];
    if (cell.empty() || cell == "-") continue;
    if (!looks_numeric(cell)) return false;
    numeric = true;
  }
  return numeric;
}

}  // namespace

std::optional<std::string> nearest_word(std::string_view word,
                                        const std::vector<std::string>& candidates) {
  std::optional<std::string> nearest;
  std::size_t limit = std::max<std::size_t>(1, word.size() / 3);
  for (const std::string& candidate : candidates) {
    const std::size_t distance = edit_distance(word, candidate);
    // A word replaced letter by letter is another word.
    if (distance > limit || distance >= std::max(word.size(), candidate.size())) continue;
    if (!nearest || distance < limit) nearest = candidate;
    limit = distance;
  }
  return nearest;
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> pieces;
  while (true) {
    const std::size_t end = text.find(separator);
    pieces.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return pieces;
    text.remove_prefix(end + 1);
  }
}

std::string_view trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

std::optional<double> parse_number(std::string_view text) {
  if (text.find_first_not_of("0123456789+-.eE") != std::string_view::npos) return std::nullopt;
  return parse_whole<double>(text, std::chars_format::general);
}

std::optional<std::int64_t> parse_integer(std::string_view text) {
  return parse_whole<std::int64_t>(text);
}

std::string format_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t column = 0; column < row.size(); ++column) {
      widths[column] = std::max(widths[column], width(row[column]));
    }
  }
  std::vector<bool> right(widths.size());
  for (std::size_t column = 0; column < widths.size(); ++column) {
    right[column] = is_numeric_column(rows, column);
  }

  std::string table;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t column = 0; column < row.size(); ++column) {
      const std::string padding(widths[column] - width(row[column]), ' ');
      if (column > 0) line += "  ";
      line += right[column] ? padding + row[column] : row[column] + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    table += line + '\n';
  }
  return table;
}

}  // namespace pluto
