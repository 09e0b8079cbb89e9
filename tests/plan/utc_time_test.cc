#include "plan/utc_time.h"

#include <gtest/gtest.h>

namespace pluto {
namespace {

TEST(UtcTimeTest, SecondsSince1970) {
  // date -u -d 2026-12-01T08:00:00Z +%s
  EXPECT_EQ(*parse_utc("1970-01-01T00:00Z"), 0);
  EXPECT_EQ(*parse_utc("2026-12-01T08:00Z"), 1796112000);
  EXPECT_EQ(*parse_utc("2026-12-01T08:00:30Z"), 1796112030);
  EXPECT_EQ(*parse_utc("2024-02-29T23:59:59Z"), 1709251199);
}

TEST(UtcTimeTest, ZoneIsSubtracted) {
  EXPECT_EQ(*parse_utc("2026-12-01T10:00+02:00"), *parse_utc("2026-12-01T08:00Z"));
  EXPECT_EQ(*parse_utc("2026-12-01T02:30-05:30"), *parse_utc("2026-12-01T08:00Z"));
}

TEST(UtcTimeTest, MissingZoneIsRefusedByName) {
  const auto time = parse_utc("2026-12-01T08:00");
  ASSERT_FALSE(time.ok());
  EXPECT_EQ(time.error().message, "\"2026-12-01T08:00\": the time zone is missing");
  EXPECT_EQ(time.error().help, "write for example 2026-12-01T08:00Z (Z is UTC)");
}

TEST(UtcTimeTest, WhatIsNoTimeIsRefused) {
  for (const char* text :
       {"", "tomorrow", "2026-12-01", "2026-12-01 08:00Z", "2026-13-01T08:00Z", "2026-02-29T08:00Z",
        "2026-12-01T24:00Z", "2026-12-01T08:60Z", "2026-12-01T08:00:60Z", "2026-12-01T08:00Zulu",
        "2026-12-01T08:00+2", "2026-12-01T08:00+15:00", "26-12-01T08:00Z", "2026-12-01T8:00Z"}) {
    const auto time = parse_utc(text);
    ASSERT_FALSE(time.ok()) << text;
    EXPECT_EQ(time.error().code, ErrorCode::kInvalidInput);
    EXPECT_NE(time.error().message.find(text), std::string::npos);
  }
}

TEST(UtcTimeTest, DatesAreToldFromDurations) {
  EXPECT_TRUE(looks_like_date("2026-12-01T08:00Z"));
  EXPECT_FALSE(looks_like_date("2026s"));
  EXPECT_FALSE(looks_like_date("10m"));
  EXPECT_FALSE(looks_like_date(""));
}

}  // namespace
}  // namespace pluto
