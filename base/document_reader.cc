#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/document.h"
#include "base/text.h"

namespace pluto {
namespace {

// Largest double below which every whole number is exact.
constexpr double kExactIntegers = 9007199254740992.0;

struct Place {
  std::string source;
  std::string path;
};

// "plan.json:12: sync[3]" is the source "plan.json" and the path "sync[3]"; the line of an outer
// object is dropped, for its member has its own.
Place split_place(const std::string& where) {
  const std::size_t colon = where.find(": ");
  Place place{where.substr(0, colon), colon == std::string::npos ? "" : where.substr(colon + 2)};
  const std::size_t digits = place.source.find_last_not_of("0123456789");
  if (digits != std::string::npos && digits + 1 < place.source.size() &&
      place.source[digits] == ':') {
    place.source.resize(digits);
  }
  return place;
}

std::string place_text(const Place& place, std::optional<int> line) {
  std::string text = place.source;
  if (line) text += fmt::format(":{}", *line);
  if (!place.path.empty()) text += ": " + place.path;
  return text;
}

Error wrong_kind(const std::string& place, const Value& value, std::string_view expected) {
  if (value.is_array() || value.is_object() || value.is_null()) {
    return invalid_input(fmt::format("{}: expected {}, found {}{}", place, expected,
                                     value.is_null() ? "" : "an ", value.kind()));
  }
  return invalid_input(fmt::format("{}: {}: expected {}", place, to_json(value, true), expected));
}

std::optional<std::string> get_string(const Value& value) {
  return value.is_string() ? std::optional(value.as_string()) : std::nullopt;
}
std::optional<double> get_number(const Value& value) {
  return value.is_number() ? std::optional(value.as_number()) : std::nullopt;
}
std::optional<bool> get_boolean(const Value& value) {
  return value.is_bool() ? std::optional(value.as_bool()) : std::nullopt;
}
std::optional<std::int64_t> get_integer(const Value& value) {
  if (value.is_integer()) return value.as_integer();
  if (!value.is_number()) return std::nullopt;
  const double number = value.as_number();
  if (std::abs(number) > kExactIntegers || number != std::trunc(number)) return std::nullopt;
  return static_cast<std::int64_t>(number);
}
std::optional<const Value*> get_object(const Value& value) {
  return value.is_object() ? std::optional(&value) : std::nullopt;
}
std::optional<const Value::Array*> get_array(const Value& value) {
  return value.is_array() ? std::optional(&value.as_array()) : std::nullopt;
}

constexpr std::string_view kString = "a string";
constexpr std::string_view kNumber = "a number";
constexpr std::string_view kInteger = "a whole number";
constexpr std::string_view kBoolean = "true or false";
constexpr std::string_view kObject = "an object";
constexpr std::string_view kArray = "an array";

template <class T>
Result<std::optional<T>> read_optional(ObjectReader& reader, std::string_view key,
                                       std::optional<T> (*get)(const Value&),
                                       std::string_view expected) {
  const Value* value = reader.optional(key);
  if (value == nullptr) return std::optional<T>();
  std::optional<T> content = get(*value);
  if (!content) return wrong_kind(reader.place(key), *value, expected);
  return content;
}

template <class T>
Result<T> read_required(ObjectReader& reader, std::string_view key,
                        std::optional<T> (*get)(const Value&), std::string_view expected,
                        const Value& object) {
  PLUTO_ASSIGN(std::optional<T> content, read_optional(reader, key, get, expected));
  if (content) return *std::move(content);
  if (const Value* null = object.find(key)) return wrong_kind(reader.place(key), *null, expected);

  std::vector<std::string> present;
  for (const auto& [name, member] : object.as_object()) present.push_back(name);
  const auto near = nearest_word(key, present);
  return reader.error(key, fmt::format("missing (expected {})", expected),
                      near ? fmt::format("is \"{}\" meant to be \"{}\"?", *near, key)
                           : fmt::format("add the key \"{}\"", key));
}

}  // namespace

Result<ObjectReader> ObjectReader::open(const Value& value, std::string where) {
  if (!value.is_object()) {
    return wrong_kind(place_text(split_place(where), value.line()), value, kObject);
  }
  return ObjectReader(value, std::move(where));
}

Result<std::string> ObjectReader::string(std::string_view key) {
  return read_required(*this, key, get_string, kString, *value_);
}
Result<double> ObjectReader::number(std::string_view key) {
  return read_required(*this, key, get_number, kNumber, *value_);
}
Result<std::int64_t> ObjectReader::integer(std::string_view key) {
  return read_required(*this, key, get_integer, kInteger, *value_);
}
Result<bool> ObjectReader::boolean(std::string_view key) {
  return read_required(*this, key, get_boolean, kBoolean, *value_);
}
Result<const Value*> ObjectReader::object(std::string_view key) {
  return read_required(*this, key, get_object, kObject, *value_);
}
Result<const Value::Array*> ObjectReader::array(std::string_view key) {
  return read_required(*this, key, get_array, kArray, *value_);
}

Result<std::optional<std::string>> ObjectReader::optional_string(std::string_view key) {
  return read_optional(*this, key, get_string, kString);
}
Result<std::optional<double>> ObjectReader::optional_number(std::string_view key) {
  return read_optional(*this, key, get_number, kNumber);
}
Result<std::optional<std::int64_t>> ObjectReader::optional_integer(std::string_view key) {
  return read_optional(*this, key, get_integer, kInteger);
}
Result<std::optional<bool>> ObjectReader::optional_boolean(std::string_view key) {
  return read_optional(*this, key, get_boolean, kBoolean);
}

const Value* ObjectReader::optional(std::string_view key) {
  if (std::find(known_.begin(), known_.end(), key) == known_.end()) known_.emplace_back(key);
  const Value* value = value_->find(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

std::string ObjectReader::place(std::string_view key) const {
  Place place = split_place(where_);
  if (!place.path.empty()) place.path += '.';
  place.path += key;
  const Value* member = value_->find(key);
  return place_text(place, member != nullptr ? member->line() : value_->line());
}

Error ObjectReader::error(std::string_view key, const std::string& message,
                          std::string help) const {
  return invalid_input(place(key) + ": " + message, std::move(help));
}

Result<void> ObjectReader::finish() const {
  for (const auto& [key, member] : value_->as_object()) {
    if (std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
    const auto near = nearest_word(key, known_);
    return error(key, "unknown key",
                 near ? fmt::format("did you mean \"{}\"?", *near)
                      : fmt::format("known keys: {}", fmt::join(known_, ", ")));
  }
  return {};
}

}  // namespace pluto
