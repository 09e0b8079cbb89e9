#include "plan/finding.h"

#include <fmt/format.h>

#include <cmath>

#include "base/text.h"

namespace pluto {
namespace {

// The next step of "buckets[3].method": a key or an index; `path` keeps the rest.
const Value* step_into(const Value& value, std::string_view& path) {
  if (path.starts_with('[')) {
    const std::size_t close = path.find(']');
    const auto index = parse_integer(path.substr(1, close - 1));
    path.remove_prefix(close + 1);
    if (!value.is_array() || !index || *index < 0 ||
        static_cast<std::size_t>(*index) >= value.as_array().size()) {
      return nullptr;
    }
    return &value.as_array()[static_cast<std::size_t>(*index)];
  }
  if (path.starts_with('.')) path.remove_prefix(1);
  const std::string_view key = path.substr(0, path.find_first_of(".["));
  path.remove_prefix(key.size());
  return value.find(key);
}

std::optional<int> line_of(const Value& document, std::string_view path) {
  std::optional<int> line = document.line();
  const Value* value = &document;
  while (!path.empty()) {
    value = step_into(*value, path);
    if (value == nullptr) break;
    if (value->line()) line = value->line();
  }
  return line;
}

}  // namespace

Error to_error(const Finding& finding) {
  return invalid_input(fmt::format("{}: {}", finding.path, finding.message), finding.help);
}

Error to_error(const Finding& finding, const Value& document, const std::string& source) {
  const std::optional<int> line = line_of(document, finding.path);
  return with_context(to_error(finding), line ? fmt::format("{}:{}", source, *line) : source);
}

Verdict must_be_positive(const std::string& path, double value, const std::string& help) {
  if (value > 0 && std::isfinite(value)) return std::nullopt;
  return Finding{path, fmt::format("must be above zero, is {}", value), help};
}

Verdict must_not_be_negative(const std::string& path, double value, const std::string& help) {
  if (value >= 0 && std::isfinite(value)) return std::nullopt;
  return Finding{path, fmt::format("must not be negative, is {}", value), help};
}

}  // namespace pluto
