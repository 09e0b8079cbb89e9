#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <cctype>
#include <sstream>

#include "base/document.h"
#include "base/document_builder.h"
#include "base/text.h"

namespace pluto {
namespace {

int line_of(const YAML::Mark& mark) { return mark.line + 1; }

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

class YamlHandler : public YAML::EventHandler {
 public:
  explicit YamlHandler(DocumentBuilder& builder) : builder_(&builder) {}

  void OnDocumentStart(const YAML::Mark& /*mark*/) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (!plain_node(mark, "", anchor)) return;
    if (builder_->expects_key()) {
      builder_->refuse(line_of(mark), "a member without a key");
    } else {
      builder_->scalar(Value(), line_of(mark));
    }
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override {
    builder_->refuse(line_of(mark), "anchors are not supported", "write the value out");
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    if (!plain_node(mark, tag, anchor)) return;
    const bool quoted = tag == "!";
    if (builder_->expects_key()) {
      builder_->key(text, line_of(mark));
    } else if (quoted) {
      builder_->scalar(text, line_of(mark));
    } else {
      plain_scalar(text, line_of(mark));
    }
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    if (plain_node(mark, tag, anchor) && text_key(mark)) builder_->open_array(line_of(mark));
  }
  void OnSequenceEnd() override { builder_->close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    if (plain_node(mark, tag, anchor) && text_key(mark)) builder_->open_object(line_of(mark));
  }
  void OnMapEnd() override { builder_->close(); }

 private:
  bool plain_node(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (anchor != 0) {
      return builder_->refuse(line_of(mark), "anchors are not supported", "write the value out");
    }
    // The library marks a plain node "?" and a quoted scalar "!".
    if (!is_one_of(tag, {"", "?", "!"})) {
      return builder_->refuse(line_of(mark), fmt::format("{}: tags are not supported", tag));
    }
    return !builder_->refused();
  }

  bool text_key(const YAML::Mark& mark) {
    return !builder_->expects_key() || builder_->refuse(line_of(mark), "a key must be text");
  }

  // The core schema of YAML 1.2, less octal and hexadecimal: "no" is a country, not a boolean.
  void plain_scalar(const std::string& text, int line) {
    if (is_one_of(text, {"", "~", "null", "Null", "NULL"})) {
      builder_->scalar(Value(), line);
    } else if (is_one_of(text, {"true", "True", "TRUE"})) {
      builder_->scalar(true, line);
    } else if (is_one_of(text, {"false", "False", "FALSE"})) {
      builder_->scalar(false, line);
    } else {
      number_or_text(text, line);
    }
  }

  void number_or_text(const std::string& text, int line) {
    std::string_view digits = text;
    if (digits.size() > 1 && digits.front() == '+' && digits[1] != '-') digits.remove_prefix(1);
    if (const auto integer = parse_integer(digits)) {
      builder_->scalar(*integer, line);
    } else if (digits.find_first_not_of("-0123456789") == std::string_view::npos &&
               parse_number(digits)) {
      builder_->refuse(line, fmt::format("{}: the number does not fit 64 bits", text),
                       "quote it if it is text");
    } else if (const auto number = parse_number(digits)) {
      builder_->scalar(*number, line);
    } else if (is_not_finite(digits)) {
      builder_->refuse(line, fmt::format("{}: expected a finite number", text),
                       "leave the key out if the value is unknown or unlimited");
    } else {
      builder_->scalar(text, line);
    }
  }

  static bool is_not_finite(std::string_view text) {
    if (text.starts_with('-')) text.remove_prefix(1);
    return is_one_of(text, {".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN"});
  }

  DocumentBuilder* builder_;
};

}  // namespace

Result<Value> parse_yaml(std::string_view text, const std::string& source) {
  DocumentBuilder builder(source);
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    YamlHandler handler(builder);
    if (!parser.HandleNextDocument(handler)) builder.refuse(1, "the document is empty");
    if (builder.refused()) return builder.finish();

    DocumentBuilder rest(source);
    YamlHandler rest_handler(rest);
    if (parser.HandleNextDocument(rest_handler)) {
      return invalid_input(fmt::format("{}: more than one document", source),
                           "keep one and remove its \"---\"");
    }
  } catch (const YAML::Exception& exception) {
    if (!exception.mark.is_null()) {
      builder.refuse(line_of(exception.mark), exception.msg);
    } else {
      return invalid_input(fmt::format("{}: {}", source, exception.msg));
    }
  }
  return builder.finish();
}

}  // namespace pluto
