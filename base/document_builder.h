#pragma once
// What the JSON and the YAML reader share: events in, one tree of values out.

#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "base/document.h"

namespace pluto {

/// Builds a Value from the events of a parser. After the first fault every call returns false and
/// changes nothing. Usage: one value (a scalar, or an open ... close pair with its content), then
/// `finish`.
class DocumentBuilder {
 public:
  /// `source` names the text in errors.
  explicit DocumentBuilder(std::string source) : source_(std::move(source)) {}

  bool open_object(int line);
  bool open_array(int line);
  bool close();
  bool key(std::string name, int line);
  bool scalar(Value value, int line);
  /// True when the next value of the innermost object needs its key first.
  bool expects_key() const;
  /// Remembers the first error: kInvalidInput with "source:line: message". Returns false.
  bool refuse(int line, const std::string& message, std::string help = {});
  bool refused() const { return error_.has_value(); }
  /// The tree or the first error. Precondition: every open container was closed, or the text was
  /// refused.
  Result<Value> finish();

 private:
  struct Frame {
    bool is_object = false;
    int line = 0;
    Value::Object members;
    Value::Array elements;
    std::string key;
    std::optional<int> key_line;
    std::unordered_set<std::string> keys;
  };
  bool open(bool is_object, int line);
  int take_line(int line);
  void add(Value value);

  std::string source_;
  std::vector<Frame> frames_;
  std::optional<Value> root_;
  std::optional<Error> error_;
};

}  // namespace pluto
