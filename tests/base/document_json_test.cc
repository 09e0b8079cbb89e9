#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/document.h"
#include "base/philox.h"

namespace pluto {
namespace {

Value parsed(std::string_view text) {
  Result<Value> value = parse_json(text, "plan.json");
  EXPECT_TRUE(value.ok()) << (value.ok() ? "" : value.error().message);
  return value.ok() ? *value : Value();
}

std::string error_of(std::string_view text) {
  const Result<Value> value = parse_json(text, "plan.json");
  if (value.ok()) return "accepted";
  EXPECT_EQ(value.error().code, ErrorCode::kInvalidInput);
  return value.error().message;
}

TEST(DocumentJsonTest, EveryKindIsRead) {
  const Value value = parsed(
      R"({"a": null, "b": true, "c": -3, "d": 2.5, "e": "x\u00e9\n", "f": [1, []], "g": {}})");
  EXPECT_TRUE(value.find("a")->is_null());
  EXPECT_EQ(*value.find("b"), Value(true));
  EXPECT_EQ(*value.find("c"), Value(-3));
  EXPECT_EQ(*value.find("d"), Value(2.5));
  EXPECT_EQ(*value.find("e"), Value("x\u00e9\n"));
  EXPECT_EQ(*value.find("f"), Value(Value::Array{1, Value::array()}));
  EXPECT_EQ(*value.find("g"), Value::object());
}

TEST(DocumentJsonTest, NumbersKeepTheirKind) {
  EXPECT_TRUE(parsed("3").is_integer());
  EXPECT_FALSE(parsed("3.0").is_integer());
  EXPECT_FALSE(parsed("3e0").is_integer());
  EXPECT_EQ(parsed("9223372036854775807").as_integer(), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(parsed("-9223372036854775808").as_integer(), std::numeric_limits<std::int64_t>::min());
}

TEST(DocumentJsonTest, LinesAreThoseOfTheKeys) {
  const Value value = parsed("{\n\n  \"a\": 1,\n  \"b\":\n    {\"c\": [\n      5,\n      6]}\n}");
  EXPECT_EQ(value.line(), 1);
  EXPECT_EQ(value.find("a")->line(), 3);
  EXPECT_EQ(value.find("b")->line(), 4);
  EXPECT_EQ(value.find("b")->find("c")->line(), 5);
  EXPECT_EQ(value.find("b")->find("c")->as_array()[1].line(), 7);
}

TEST(DocumentJsonTest, SyntaxErrorsNameTheirLine) {
  EXPECT_EQ(error_of(""), "plan.json:1: the document is empty");
  EXPECT_EQ(error_of("{\n  \"a\": 1\n  \"b\": 2\n}"),
            "plan.json:3: missing a comma or '}' after an object member");
  EXPECT_EQ(error_of("[1,\n2,\n]"), "plan.json:3: invalid value");
  EXPECT_EQ(error_of("{} {}"),
            "plan.json:1: the document root must not be followed by other values");
  EXPECT_NE(error_of("[1"), "accepted");
  EXPECT_NE(error_of("\"\xff\""), "accepted");
  EXPECT_NE(error_of("[01]"), "accepted");
  EXPECT_NE(error_of("['a']"), "accepted");
}

TEST(DocumentJsonTest, DuplicateKeysAreRefused) {
  EXPECT_EQ(error_of("{\"a\": 1,\n\"b\": 2,\n\"a\": 3}"), "plan.json:3: a: the key appears twice");
}

TEST(DocumentJsonTest, WhatIsNoFiniteNumberIsRefused) {
  EXPECT_NE(error_of("[NaN]"), "accepted");
  EXPECT_NE(error_of("[Infinity]"), "accepted");
  EXPECT_NE(error_of("[1e999]"), "accepted");
}

TEST(DocumentJsonTest, WholeNumbersNeverLoseDigits) {
  EXPECT_EQ(error_of("[\n9223372036854775808]"),
            "plan.json:2: 9223372036854775808: the number does not fit 64 bits");
}

TEST(DocumentJsonTest, TextAfterAZeroByteIsSeen) {
  EXPECT_EQ(error_of(std::string_view("{}\n\0 garbage", 12)),
            "plan.json:2: a zero byte in the text");
}

TEST(DocumentJsonTest, DeepNestingIsAnErrorNotACrash) {
  EXPECT_EQ(error_of(std::string(100'000, '[')), "plan.json:1: nested deeper than 200 levels");
  EXPECT_EQ(error_of(std::string(200, '[') + std::string(200, ']')), "accepted");
}

TEST(DocumentJsonTest, WriterIndentsObjectsAndKeepsPlainListsOnOneLine) {
  Value value = Value::object();
  value.set("name", "a\"b\\\n\x01").set("sizes", Value::Array{1, 2}).set("none", Value::array());
  value.set("empty", Value::object()).set("list", Value::Array{Value::Object{{"x", 1.0}}, Value()});
  EXPECT_EQ(to_json(value), R"({
  "name": "a\"b\\\n\u0001",
  "sizes": [1, 2],
  "none": [],
  "empty": {},
  "list": [
    {
      "x": 1.0
    },
    null
  ]
}
)");
  EXPECT_EQ(
      to_json(value, true),
      R"({"name":"a\"b\\\n\u0001","sizes":[1,2],"none":[],"empty":{},"list":[{"x":1.0},null]})");
}

TEST(DocumentJsonTest, WrittenNumbersReadBackExactly) {
  for (const double number : {0.1, 1.0, -0.0, 1e300, 5e-324, 1e15, 123456789012345680000.0, -2.5e-7,
                              std::numeric_limits<double>::max()}) {
    const Value value = parsed(to_json(number));
    EXPECT_FALSE(value.is_integer()) << number;
    EXPECT_EQ(value.as_number(), number);
    EXPECT_EQ(std::signbit(value.as_number()), std::signbit(number));
  }
}

TEST(DocumentJsonTest, RandomTreesReadBackEqual) {
  for (std::uint32_t i = 0; i < 500; ++i) {
    const auto bits = philox(7, {i, 0, 0, 0});
    const double number = std::ldexp(static_cast<double>(bits[0]) - 2147483648.0,
                                     static_cast<int>(bits[1] % 600) - 300);
    const auto integer =
        static_cast<std::int64_t>((static_cast<std::uint64_t>(bits[2]) << 32) | bits[3]);
    std::string text;
    for (const std::uint32_t word : bits) text += static_cast<char>(word % 128);
    const Value value(
        Value::Object{{text, Value(Value::Array{number, integer, text, bits[0] % 2 == 0})}});
    // A zero byte is written as an escape and must come back.
    EXPECT_EQ(parsed(to_json(value)), value);
    EXPECT_EQ(parsed(to_json(value, true)), value);
  }
}

TEST(DocumentJsonTest, WhatJsonCannotSayBecomesNull) {
  EXPECT_EQ(to_json(std::nan(""), true), "null");
  EXPECT_EQ(to_json(std::numeric_limits<double>::infinity(), true), "null");
}

}  // namespace
}  // namespace pluto
