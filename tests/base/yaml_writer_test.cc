#include "base/yaml_writer.h"

#include <gtest/gtest.h>

namespace pluto {
namespace {

Value again(const Value& value) {
  const std::string text = to_yaml(value);
  const auto read = parse_yaml(text, "written");
  EXPECT_TRUE(read.ok()) << (read.ok() ? "" : read.error().message) << "\n" << text;
  return read.ok() ? *read : Value();
}

Value text_member(const char* text) {
  Value value = Value::object();
  value.set("text", text);
  return value;
}

TEST(YamlWriterTest, ValuesReadBack) {
  Value inner = Value::object();
  inner.set("nodes", 2).set("rate", 0.1).set("tiny", 1e-300).set("yes", true);
  Value list = Value::array();
  list.push_back(1);
  list.push_back(inner);
  list.push_back(Value());
  list.push_back(Value::array());
  Value value = Value::object();
  value.set("list", std::move(list)).set("inner", inner).set("empty", Value::object());
  EXPECT_EQ(again(value), value);
}

// Texts that YAML 1.1 or 1.2 would read as something else keep being texts.
TEST(YamlWriterTest, TextsStayTexts) {
  for (const char* text :
       {"",        "no", "Yes",  "off",         "null", "~",   "8",    "08",  "1e3", "0x1f",
        "1:30",    "-",  "- a",  "a: b",        "a #b", "#a",  "a:",   "'q'", "\"q", "%a",
        "@a",      "&a", "*a",   "!a",          "{a}",  "[a]", "a\tb", " a",  "a ",  "two\nlines",
        "end\n\n", "\n", " a\n", "tab\there\n", "\x01", "ü",   "y"}) {
    const Value value = text_member(text);
    EXPECT_EQ(again(value), value) << text;
  }
}

TEST(YamlWriterTest, ScriptsAreLiteralBlocks) {
  const char* script = "set -e\nif true; then\n  echo \"a: #b\" '$HOME'\nfi\n";
  const Value value = text_member(script);
  EXPECT_EQ(to_yaml(value).substr(0, 8), "text: |\n");
  EXPECT_EQ(again(value), value);
}

TEST(YamlWriterTest, WordsNeedNoQuotes) {
  EXPECT_EQ(to_yaml(text_member("pytorch/pytorch:2.7.1")), "text: pytorch/pytorch:2.7.1\n");
  EXPECT_EQ(to_yaml(text_member("no")), "text: \"no\"\n");
}

}  // namespace
}  // namespace pluto
