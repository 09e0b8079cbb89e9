#pragma once
// The JSON and YAML border: one tree of values with line numbers, strict readers, one writer.
// Everything that enters or leaves Pluto as text passes here once and becomes a type.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"

namespace pluto {

/// A node of a JSON or YAML document. Objects keep the order of their keys.
class Value {
 public:
  using Array = std::vector<Value>;
  using Object = std::vector<std::pair<std::string, Value>>;

  Value() = default;                                             ///< null
  Value(bool value) : data_(value) {}                            // NOLINT: implicit by design
  Value(double value) : data_(value) {}                          // NOLINT
  Value(std::int64_t value) : data_(value) {}                    // NOLINT
  Value(int value) : data_(static_cast<std::int64_t>(value)) {}  // NOLINT
  Value(std::size_t value) : data_(static_cast<std::int64_t>(value)) {}  // NOLINT
  Value(std::string value) : data_(std::move(value)) {}                  // NOLINT
  Value(std::string_view value) : data_(std::string(value)) {}           // NOLINT
  Value(const char* value) : data_(std::string(value)) {}                // NOLINT
  Value(Array value) : data_(std::move(value)) {}                        // NOLINT
  Value(Object value) : data_(std::move(value)) {}                       // NOLINT
  static Value array() { return Value(Array{}); }
  static Value object() { return Value(Object{}); }
  /// An absent optional is null.
  template <class T>
  static Value of(const std::optional<T>& value) {
    return value ? Value(*value) : Value();
  }

  bool is_null() const { return std::holds_alternative<std::monostate>(data_); }
  bool is_bool() const { return std::holds_alternative<bool>(data_); }
  bool is_integer() const { return std::holds_alternative<std::int64_t>(data_); }
  bool is_number() const { return is_integer() || std::holds_alternative<double>(data_); }
  bool is_string() const { return std::holds_alternative<std::string>(data_); }
  bool is_array() const { return std::holds_alternative<Array>(data_); }
  bool is_object() const { return std::holds_alternative<Object>(data_); }
  const char* kind() const;  ///< "null", "boolean", "number", "string", "array", "object"

  /// Unchecked access. Precondition: the value is of that kind.
  bool as_bool() const { return std::get<bool>(data_); }
  std::int64_t as_integer() const { return std::get<std::int64_t>(data_); }
  double as_number() const;
  const std::string& as_string() const { return std::get<std::string>(data_); }
  const Array& as_array() const { return std::get<Array>(data_); }
  const Object& as_object() const { return std::get<Object>(data_); }

  /// The member `key` of an object, or nullptr (also when this is no object).
  const Value* find(std::string_view key) const;
  /// Appends a member. Precondition: this is an object and has no such key. Returns *this.
  Value& set(std::string key, Value value);
  /// Appends an element. Precondition: this is an array.
  void push_back(Value value) { std::get<Array>(data_).push_back(std::move(value)); }

  /// 1-based line in the source text, if this was parsed; for a member the line of its key.
  std::optional<int> line() const { return line_; }
  void set_line(int line) { line_ = line; }

  bool operator==(const Value& other) const {
    return data_ == other.data_;
  }  ///< lines do not count

 private:
  std::variant<std::monostate, bool, std::int64_t, double, std::string, Array, Object> data_;
  std::optional<int> line_;
};

/// `source` names the text in errors ("job.yaml"). Errors: kInvalidInput with "source:line: ...".
/// Refused: duplicate keys, NaN, infinity, whole numbers beyond 64 bits, nesting deeper than 200.
/// YAML: one document, no anchors, no tags; plain scalars become null, booleans (true, false) and
/// numbers where they read as such; "yes" and "no" are text.
Result<Value> parse_json(std::string_view text, const std::string& source);
Result<Value> parse_yaml(std::string_view text, const std::string& source);
/// Reads the file; *.yaml and *.yml as YAML, all else as JSON. "-" is standard input (YAML, which
/// includes JSON).
Result<Value> read_document(const std::string& path);

/// JSON text: two-space indentation, or one line when `compact`. Numbers round-trip exactly;
/// infinite and NaN numbers are a bug of the caller and become null.
std::string to_json(const Value& value, bool compact = false);
/// Writes atomically: temporary file in the same folder, fsync, rename; readers see the old or the
/// new content. Keeps the permissions of an existing file and follows a symbolic link; what is no
/// regular file (a pipe, /dev/stdout) is written in place. Errors: kIo.
Result<void> write_file(const std::string& path, std::string_view content);
/// Whole file. Errors: kNotFound, kIo.
Result<std::string> read_file(const std::string& path);

/// Strict reader of one object: every key must be asked for, every error carries "source:line:
/// path". Usage: construct, read members, then `PLUTO_TRY(reader.finish())`, which refuses keys
/// never asked for and suggests the nearest known one.
class ObjectReader {
 public:
  /// `where` is the place of the object in its document, e.g. "job.yaml", "plan.json: sync[3]" or
  /// the place() of a member of another reader. Errors: kInvalidInput when the value is no object.
  /// The value must outlive the reader.
  static Result<ObjectReader> open(const Value& value, std::string where);

  Result<std::string> string(std::string_view key);
  Result<double> number(std::string_view key);
  Result<std::int64_t> integer(
      std::string_view key);  ///< also 1e9: a number without fraction below 2^53
  Result<bool> boolean(std::string_view key);
  Result<const Value*> object(std::string_view key);
  Result<const Value::Array*> array(std::string_view key);

  /// Absent or null keys are nullopt; wrong kinds are errors.
  Result<std::optional<std::string>> optional_string(std::string_view key);
  Result<std::optional<double>> optional_number(std::string_view key);
  Result<std::optional<std::int64_t>> optional_integer(std::string_view key);
  Result<std::optional<bool>> optional_boolean(std::string_view key);
  const Value* optional(std::string_view key);  ///< any kind; nullptr when absent or null

  /// "source:line: path" of a member, e.g. "plan.json:14: sync[3].mode", to put before an error
  /// about its content. The line is the member's own, or the object's when it is absent.
  std::string place(std::string_view key) const;
  /// Error about the member `key`: kInvalidInput with its place.
  Error error(std::string_view key, const std::string& message, std::string help = {}) const;
  /// Refuses keys that no read asked for.
  Result<void> finish() const;

 private:
  ObjectReader(const Value& value, std::string where) : value_(&value), where_(std::move(where)) {}
  const Value* value_;
  std::string where_;
  std::vector<std::string> known_;
};

}  // namespace pluto
