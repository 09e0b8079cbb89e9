#include <gtest/gtest.h>

#include "base/document.h"

namespace pluto {
namespace {

Value parsed(std::string_view text) {
  Result<Value> value = parse_yaml(text, "job.yaml");
  EXPECT_TRUE(value.ok()) << (value.ok() ? "" : value.error().message);
  return value.ok() ? *value : Value();
}

std::string error_of(std::string_view text) {
  const Result<Value> value = parse_yaml(text, "job.yaml");
  if (value.ok()) return "accepted";
  EXPECT_EQ(value.error().code, ErrorCode::kInvalidInput);
  return value.error().message;
}

TEST(DocumentYamlTest, PlainScalarsAreTyped) {
  EXPECT_TRUE(parsed("a: ~").find("a")->is_null());
  EXPECT_TRUE(parsed("a:").find("a")->is_null());
  EXPECT_EQ(*parsed("a: true").find("a"), Value(true));
  EXPECT_EQ(*parsed("a: 12").find("a"), Value(12));
  EXPECT_EQ(*parsed("a: +12").find("a"), Value(12));
  EXPECT_EQ(*parsed("a: -1.5e3").find("a"), Value(-1500.0));
  EXPECT_EQ(*parsed("a: .5").find("a"), Value(0.5));
}

TEST(DocumentYamlTest, WhatOnlyLooksTypedIsText) {
  for (const char* text :
       {"6 hours", "no", "yes", "on", "1:30", "2024-01-01", "1_000", "e5", "+-5", "1e", "nan"}) {
    EXPECT_EQ(*parsed(std::string("a: ") + text).find("a"), Value(text));
  }
}

TEST(DocumentYamlTest, QuotedScalarsAreText) {
  EXPECT_EQ(*parsed("a: \"12\"").find("a"), Value("12"));
  EXPECT_EQ(*parsed("a: 'true'").find("a"), Value("true"));
  EXPECT_EQ(*parsed("a: ''").find("a"), Value(""));
}

TEST(DocumentYamlTest, BlocksFlowsAndCommentsAreRead) {
  const Value value = parsed(
      "# a job\nmodel: resnet50  # the model\nsizes: [1, 2]\nnodes:\n  - {gpu: A100}\n  - gpu: "
      "H100\n");
  EXPECT_EQ(*value.find("model"), Value("resnet50"));
  EXPECT_EQ(*value.find("sizes"), Value(Value::Array{1, 2}));
  EXPECT_EQ(*value.find("nodes")->as_array()[1].find("gpu"), Value("H100"));
}

TEST(DocumentYamlTest, JsonIsYamlToo) {
  EXPECT_EQ(parsed(R"({"a": [1, 2.5, "x"], "b": null})"),
            Value(Value::Object{{"a", Value(Value::Array{1, 2.5, "x"})}, {"b", Value()}}));
}

TEST(DocumentYamlTest, LinesAreThoseOfTheKeys) {
  const Value value = parsed("# comment\na: 1\nb:\n  c: 2\n  d:\n    - 3\n    - 4\n");
  EXPECT_EQ(value.find("a")->line(), 2);
  EXPECT_EQ(value.find("b")->line(), 3);
  EXPECT_EQ(value.find("b")->find("c")->line(), 4);
  EXPECT_EQ(value.find("b")->find("d")->line(), 5);
  EXPECT_EQ(value.find("b")->find("d")->as_array()[1].line(), 7);
}

TEST(DocumentYamlTest, SyntaxErrorsNameTheirLine) {
  EXPECT_TRUE(error_of("a: 1\nb: [1, 2\nc: 3\n").starts_with("job.yaml:"));
  EXPECT_TRUE(error_of("a: 1\n  b: 2\n").starts_with("job.yaml:2: "));
  EXPECT_EQ(error_of(""), "job.yaml:1: the document is empty");
  EXPECT_EQ(error_of("# only a comment\n"), "job.yaml:1: the document is empty");
}

TEST(DocumentYamlTest, DuplicateKeysAreRefused) {
  EXPECT_EQ(error_of("a: 1\nb: 2\na: 3\n"), "job.yaml:3: a: the key appears twice");
}

TEST(DocumentYamlTest, AnchorsTagsAndSecondDocumentsAreRefused) {
  EXPECT_EQ(error_of("a: &x 1\nb: 2\n"), "job.yaml:1: anchors are not supported");
  EXPECT_EQ(error_of("a: 1\nb: &x [1]\nc: *x\n"), "job.yaml:2: anchors are not supported");
  EXPECT_NE(error_of("a: !!str 5\n").find("tags are not supported"), std::string::npos);
  EXPECT_NE(error_of("a: !mine {b: 1}\n").find("tags are not supported"), std::string::npos);
  EXPECT_EQ(error_of("a: 1\n---\nb: 2\n"), "job.yaml: more than one document");
}

TEST(DocumentYamlTest, KeysMustBeText) {
  EXPECT_EQ(error_of("? [1, 2]\n: 3\n"), "job.yaml:1: a key must be text");
  EXPECT_EQ(error_of("? {a: 1}\n: 3\n"), "job.yaml:1: a key must be text");
}

TEST(DocumentYamlTest, WhatIsNoFiniteNumberIsRefused) {
  EXPECT_EQ(error_of("a: 1\nb: .inf\n"), "job.yaml:2: .inf: expected a finite number");
  EXPECT_EQ(error_of("a: -.INF\n"), "job.yaml:1: -.INF: expected a finite number");
  EXPECT_EQ(error_of("a: .nan\n"), "job.yaml:1: .nan: expected a finite number");
}

TEST(DocumentYamlTest, WholeNumbersNeverLoseDigits) {
  EXPECT_EQ(error_of("a: 9223372036854775808\n"),
            "job.yaml:1: 9223372036854775808: the number does not fit 64 bits");
}

TEST(DocumentYamlTest, DeepNestingIsAnErrorNotACrash) {
  EXPECT_TRUE(error_of(std::string(10'000, '[')).starts_with("job.yaml:1: "));
  EXPECT_EQ(error_of(std::string(201, '[') + std::string(201, ']')),
            "job.yaml:1: nested deeper than 200 levels");
}

}  // namespace
}  // namespace pluto
