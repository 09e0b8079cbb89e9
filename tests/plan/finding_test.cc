#include "plan/finding.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace pluto {
namespace {

constexpr const char* kText = R"({
  "budget": 1,
  "buckets": [
    {"method": "x"},
    {
      "method": "y"
    }
  ]
})";

TEST(FindingTest, NamesTheFieldAndTheFix) {
  const Error error = to_error(Finding{"budget", "must be above zero, is -5", "give more"});
  EXPECT_EQ(error.code, ErrorCode::kInvalidInput);
  EXPECT_EQ(error.message, "budget: must be above zero, is -5");
  EXPECT_EQ(error.help, "give more");
}

TEST(FindingTest, LineIsThatOfTheField) {
  const Value document = *parse_json(kText, "plan.json");
  const auto message = [&](const char* path) {
    return to_error(Finding{path, "wrong", {}}, document, "plan.json").message;
  };
  EXPECT_EQ(message("budget"), "plan.json:2: budget: wrong");
  EXPECT_EQ(message("buckets[0].method"), "plan.json:4: buckets[0].method: wrong");
  EXPECT_EQ(message("buckets[1].method"), "plan.json:6: buckets[1].method: wrong");
}

TEST(FindingTest, AbsentFieldHasTheLineOfWhatIsAroundIt) {
  const Value document = *parse_json(kText, "plan.json");
  const auto message = [&](const char* path) {
    return to_error(Finding{path, "missing", {}}, document, "plan.json").message;
  };
  EXPECT_EQ(message("target"), "plan.json:1: target: missing");
  EXPECT_EQ(message("buckets[1].parameters"), "plan.json:5: buckets[1].parameters: missing");
  EXPECT_EQ(message("buckets[9].method"), "plan.json:3: buckets[9].method: missing");
}

TEST(FindingTest, ValueWithoutLinesStillNamesItsSource) {
  const Value made = Value::object();
  EXPECT_EQ(to_error(Finding{"seed", "wrong", {}}, made, "flags").message, "flags: seed: wrong");
}

TEST(FindingTest, NumbersThatAreNoneAreNeitherPositiveNorZero) {
  const double nan = std::nan("");
  const double infinite = std::numeric_limits<double>::infinity();
  EXPECT_FALSE(must_be_positive("x", 1e-300, ""));
  EXPECT_FALSE(must_not_be_negative("x", 0, ""));
  for (const double value : {nan, infinite, -infinite, -1.0}) {
    EXPECT_TRUE(must_be_positive("x", value, ""));
    EXPECT_TRUE(must_not_be_negative("x", value, ""));
  }
  EXPECT_EQ(must_be_positive("x", 0, "")->message, "must be above zero, is 0");
}

}  // namespace
}  // namespace pluto
