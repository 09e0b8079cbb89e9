#include "base/document.h"

#include <gtest/gtest.h>

namespace pluto {
namespace {

TEST(ValueTest, KindsAreTold) {
  EXPECT_STREQ(Value().kind(), "null");
  EXPECT_STREQ(Value(true).kind(), "boolean");
  EXPECT_STREQ(Value(1).kind(), "number");
  EXPECT_STREQ(Value(1.5).kind(), "number");
  EXPECT_STREQ(Value("text").kind(), "string");
  EXPECT_STREQ(Value::array().kind(), "array");
  EXPECT_STREQ(Value::object().kind(), "object");
}

TEST(ValueTest, TextIsNeverTakenForABoolean) { EXPECT_TRUE(Value("false").is_string()); }

TEST(ValueTest, IntegersAreNumbersToo) {
  EXPECT_TRUE(Value(3).is_integer());
  EXPECT_EQ(Value(3).as_number(), 3.0);
  EXPECT_FALSE(Value(3.0).is_integer());
}

TEST(ValueTest, AbsentOptionalIsNull) {
  EXPECT_TRUE(Value::of(std::optional<double>()).is_null());
  EXPECT_EQ(Value::of(std::optional<double>(2.5)), Value(2.5));
}

TEST(ValueTest, MembersKeepTheirOrderAndAreFound) {
  Value value = Value::object();
  value.set("zebra", 1).set("ant", 2);
  EXPECT_EQ(value.as_object()[0].first, "zebra");
  ASSERT_NE(value.find("ant"), nullptr);
  EXPECT_EQ(*value.find("ant"), Value(2));
  EXPECT_EQ(value.find("bee"), nullptr);
  EXPECT_EQ(Value(3).find("ant"), nullptr);
}

TEST(ValueTest, LinesDoNotCountInEquality) {
  Value here(1);
  here.set_line(3);
  EXPECT_EQ(here, Value(1));
  EXPECT_EQ(here.line(), 3);
}

TEST(ValueDeathTest, SettingAKeyTwiceIsABug) {
  Value value = Value::object();
  value.set("a", 1);
  EXPECT_DEATH(value.set("a", 2), "the object has this key");
  EXPECT_DEATH(Value(1).set("a", 2), "no object");
}

}  // namespace
}  // namespace pluto
