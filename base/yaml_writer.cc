#include "base/yaml_writer.h"

#include <yaml-cpp/emitter.h>
#include <yaml-cpp/emittermanip.h>

#include <algorithm>
#include <array>
#include <cctype>

namespace pluto {
namespace {

/// Whether every reader takes the text, unquoted, as a text: begins with a letter, "/" or "_", goes
/// on without spaces and brackets, and is no word for a boolean or null in YAML 1.1.
bool is_plain(const std::string& text) {
  constexpr std::array kWords = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"};
  if (text.empty()) return false;
  const auto letter = [](char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; };
  const char first = text.front();
  if (!letter(first) && first != '/' && first != '_') return false;
  const bool harmless = std::ranges::all_of(text, [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           std::string_view("_./:@+-").find(c) != std::string_view::npos;
  });
  if (!harmless || text.back() == ':') return false;
  std::string lower;
  for (const char c : text) {
    lower += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return std::ranges::find(kWords, lower) == kWords.end();
}

/// Lines that a literal block keeps as they are.
bool is_literal(const std::string& text) {
  if (text.size() < 2 || text.back() != '\n' || text[text.size() - 2] == '\n') return false;
  if (text.front() == ' ' || text.front() == '\n') return false;
  const bool printable = std::ranges::all_of(text, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return c == '\n' || (byte >= 0x20 && byte != 0x7f);
  });
  // A space at the end of a line would be lost on people who look at it.
  return printable && text.find(" \n") == std::string::npos;
}

void emit(YAML::Emitter& out, const Value& value) {
  if (value.is_object()) {
    if (value.as_object().empty()) out << YAML::Flow;
    out << YAML::BeginMap;
    for (const auto& [key, member] : value.as_object()) {
      out << YAML::Key;
      emit(out, Value(key));
      out << YAML::Value;
      emit(out, member);
    }
    out << YAML::EndMap;
  } else if (value.is_array()) {
    if (value.as_array().empty()) out << YAML::Flow;
    out << YAML::BeginSeq;
    for (const Value& element : value.as_array()) emit(out, element);
    out << YAML::EndSeq;
  } else if (value.is_string()) {
    const std::string& text = value.as_string();
    if (is_literal(text)) {
      out << YAML::Literal << text;
    } else if (is_plain(text)) {
      out << text;
    } else {
      out << YAML::DoubleQuoted << text;
    }
  } else if (value.is_null()) {
    out << YAML::Null;
  } else {
    out << to_json(value, true);  // true, 8, 0.25
  }
}

}  // namespace

std::string to_yaml(const Value& value) {
  YAML::Emitter out;
  emit(out, value);
  return std::string(out.c_str()) + "\n";
}

}  // namespace pluto
