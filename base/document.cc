#include "base/document.h"

#include "base/check.h"

namespace pluto {

const char* Value::kind() const {
  if (is_null()) return "null";
  if (is_bool()) return "boolean";
  if (is_number()) return "number";
  if (is_string()) return "string";
  return is_array() ? "array" : "object";
}

double Value::as_number() const {
  return is_integer() ? static_cast<double>(as_integer()) : std::get<double>(data_);
}

const Value* Value::find(std::string_view key) const {
  if (!is_object()) return nullptr;
  for (const auto& [name, member] : as_object()) {
    if (name == key) return &member;
  }
  return nullptr;
}

Value& Value::set(std::string key, Value value) {
  PLUTO_CHECK(is_object(), "set on a value that is no object");
  PLUTO_CHECK(find(key) == nullptr, "the object has this key");
  std::get<Object>(data_).emplace_back(std::move(key), std::move(value));
  return *this;
}

}  // namespace pluto
