#include "plan/document_parts.h"

#include <gtest/gtest.h>

namespace pluto {
namespace {

TEST(DocumentPartsTest, UnsetMembersAreLeftOut) {
  Value object = Value::object();
  set_if(object, "a", std::optional<std::int64_t>(3));
  set_if(object, "b", std::optional<double>());
  EXPECT_EQ(to_json(object, true), "{\"a\":3}");
}

TEST(DocumentPartsTest, NumbersKeepTheirRangeAndUnit) {
  const Value value = *parse_json(
      R"({"small": -3, "big": 2147483648, "name": "00000000000000ff", "bad": "ff", "t": 1.5, "b": 7})",
      "x.json");
  ObjectReader reader = *ObjectReader::open(value, "x.json");
  EXPECT_EQ(*read_int(reader, "small"), -3);
  EXPECT_EQ(read_int(reader, "big").error().message, "x.json:1: big: 2147483648 is out of range");
  EXPECT_EQ(*read_fingerprint(reader, "name"), 255U);
  EXPECT_EQ(read_fingerprint(reader, "bad").error().message,
            "x.json:1: bad: \"ff\": expected 16 digits of 0-9 and a-f");
  EXPECT_EQ(*read_seconds(reader, "t"), Seconds(1.5));
  EXPECT_EQ(*read_bytes(reader, "b"), Bytes(7));
  EXPECT_FALSE(read_bytes(reader, "t").ok());
}

}  // namespace
}  // namespace pluto
