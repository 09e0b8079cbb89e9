#include "base/units.h"

#include <gtest/gtest.h>

#include <cmath>
#include <concepts>
#include <limits>

#include "base/philox.h"

namespace pluto {
namespace {

template <class A, class B>
concept Addable = requires(A a, B b) {
  a + b;
};
template <class A, class B>
concept Multipliable = requires(A a, B b) {
  a* b;
};
template <class A, class B>
concept Divisible = requires(A a, B b) {
  a / b;
};

static_assert(Addable<Seconds, Seconds>);
static_assert(!Addable<Seconds, Bytes>);
static_assert(!Addable<Seconds, double>);
static_assert(!Divisible<Seconds, Bytes>);
static_assert(!Multipliable<Seconds, Seconds>);
static_assert(Multipliable<Bytes, int> && Multipliable<std::int64_t, Bytes>);
static_assert(!Multipliable<Bytes, double> && !Multipliable<float, Bytes> &&
              !Divisible<Bytes, double>);
static_assert(!std::convertible_to<double, Seconds>);
static_assert(std::same_as<decltype(Bytes(1) / BytesPerSecond(1)), Seconds>);
static_assert(std::same_as<decltype(Flops(1) / FlopsPerSecond(1)), Seconds>);

std::string duration_error(std::string_view text) {
  const Result<Seconds> parsed = parse_duration(text);
  if (parsed.ok()) return "accepted";
  EXPECT_EQ(parsed.error().code, ErrorCode::kInvalidInput);
  return parsed.error().message;
}

std::string bytes_error(std::string_view text) {
  const Result<Bytes> parsed = parse_bytes(text);
  if (parsed.ok()) return "accepted";
  EXPECT_EQ(parsed.error().code, ErrorCode::kInvalidInput);
  return parsed.error().message;
}

TEST(UnitsTest, UnlikeUnitsCombineLawfully) {
  EXPECT_DOUBLE_EQ((Bytes(100) / BytesPerSecond(50)).value(), 2);
  EXPECT_DOUBLE_EQ((Bytes(100) / Seconds(50)).value(), 2);
  EXPECT_DOUBLE_EQ((Flops(6) / Seconds(2)).value(), 3);
  EXPECT_DOUBLE_EQ((DollarsPerHour(2) * Seconds(1800)).value(), 1);
  EXPECT_DOUBLE_EQ(Seconds(3) / Seconds(2), 1.5);
  EXPECT_DOUBLE_EQ(Bytes(3) / Bytes(2), 1.5);
  EXPECT_EQ(2 * Bytes(3) - Bytes(1), Bytes(5));
  EXPECT_LT(Seconds(1), Seconds(2));
}

TEST(UnitsTest, DurationsAreRead) {
  EXPECT_DOUBLE_EQ(parse_duration("90s")->value(), 90);
  EXPECT_DOUBLE_EQ(parse_duration("1.5h")->value(), 5400);
  EXPECT_DOUBLE_EQ(parse_duration("2d")->value(), 172800);
  EXPECT_DOUBLE_EQ(parse_duration(" 250 ms ")->value(), 0.25);
  EXPECT_DOUBLE_EQ(parse_duration("40us")->value(), 40e-6);
  EXPECT_DOUBLE_EQ(parse_duration("7ns")->value(), 7e-9);
  EXPECT_DOUBLE_EQ(parse_duration("1e3s")->value(), 1000);
  EXPECT_DOUBLE_EQ(parse_duration("2h05m")->value(), 7500);
  EXPECT_DOUBLE_EQ(parse_duration("1d2h3m4s")->value(), 93784);
}

TEST(UnitsTest, DurationErrorsSayWhatWasReadAndWhatIsAllowed) {
  EXPECT_EQ(duration_error("6 hours"),
            "\"6 hours\": expected a number and one of ns us ms s m h d");
  for (const char* text : {"", "s", "6", "h6", "5 m s", "5m6h", "5s6s", "infs", "nan s", "0x1s",
                           "1e999s", "5S", "1..5s", "--5s"}) {
    EXPECT_NE(duration_error(text).find("expected a number and one of ns us ms s m h d"),
              std::string::npos)
        << text;
  }
  EXPECT_EQ(duration_error("-5s"), "\"-5s\": expected a positive duration");
  EXPECT_EQ(duration_error("0s"), "\"0s\": expected a positive duration");
  EXPECT_EQ(duration_error("2h-5m"), "\"2h-5m\": expected a positive duration");
  EXPECT_EQ(duration_error("1e308d"), "\"1e308d\": expected a positive duration");
}

TEST(UnitsTest, BytesAreRead) {
  EXPECT_EQ(parse_bytes("4096")->value(), 4096);
  EXPECT_EQ(parse_bytes("0")->value(), 0);
  EXPECT_EQ(parse_bytes("2 MB")->value(), 2'000'000);
  EXPECT_EQ(parse_bytes("80GiB")->value(), 80LL << 30);
  EXPECT_EQ(parse_bytes("1.5KiB")->value(), 1536);
  EXPECT_EQ(parse_bytes("3kB")->value(), 3000);
  EXPECT_EQ(parse_bytes("7 B")->value(), 7);
  EXPECT_EQ(parse_bytes("2TB")->value(), 2'000'000'000'000);
  EXPECT_EQ(parse_bytes("1e3 MiB")->value(), 1000LL << 20);
  EXPECT_EQ(parse_bytes("9007199254740993")->value(), 9007199254740993) << "exact beyond 53 bits";
}

TEST(UnitsTest, ByteErrorsSayWhatWasReadAndWhatIsAllowed) {
  EXPECT_EQ(bytes_error("80 gigs"),
            "\"80 gigs\": expected a number and one of B kB MB GB TB KiB MiB GiB TiB");
  for (const char* text : {"", "GB", "80gb", "80KB", "1 2", "8GB!", "nan", "inf", "--5"}) {
    EXPECT_NE(bytes_error(text).find("expected a number and one of"), std::string::npos) << text;
  }
  EXPECT_EQ(bytes_error("-1"), "\"-1\": expected no negative amount");
  EXPECT_NE(bytes_error("9000000TiB").find("2^63"), std::string::npos);
  EXPECT_NE(bytes_error("9223372036854775808").find("2^63"), std::string::npos);
}

TEST(UnitsTest, TimesHaveThreeDigits) {
  EXPECT_EQ(to_text(Seconds(0)), "0 s");
  EXPECT_EQ(to_text(Seconds(1.234e-3)), "1.23 ms");
  EXPECT_EQ(to_text(Seconds(9.999e-4)), "1.00 ms");
  EXPECT_EQ(to_text(Seconds(45.67e-6)), "45.7 us");
  EXPECT_EQ(to_text(Seconds(3e-9)), "3.00 ns");
  EXPECT_EQ(to_text(Seconds(0.5)), "500 ms");
  EXPECT_EQ(to_text(Seconds(12.34)), "12.3 s");
  EXPECT_EQ(to_text(Seconds(-12.34)), "-12.3 s");
}

TEST(UnitsTest, LongTimesHaveTwoUnits) {
  EXPECT_EQ(to_text(Seconds(59.94)), "59.9 s");
  EXPECT_EQ(to_text(Seconds(59.97)), "1m00s");
  EXPECT_EQ(to_text(Seconds(125)), "2m05s");
  EXPECT_EQ(to_text(Seconds(3599.7)), "1h00m");
  EXPECT_EQ(to_text(Seconds(7500)), "2h05m");
  EXPECT_EQ(to_text(Seconds(86399)), "1d00h");
  EXPECT_EQ(to_text(Seconds(3 * 86400 + 4 * 3600 + 1700)), "3d04h");
  EXPECT_EQ(to_text(Seconds(-125)), "-2m05s");
}

TEST(UnitsTest, AmountsAndRatesHaveThreeDigits) {
  EXPECT_EQ(to_text(Bytes(0)), "0 B");
  EXPECT_EQ(to_text(Bytes(1023)), "1023 B");
  EXPECT_EQ(to_text(Bytes(1024)), "1.00 KiB");
  EXPECT_EQ(to_text(Bytes(64'172'851)), "61.2 MiB");
  EXPECT_EQ(to_text(Bytes((1LL << 30) - 1)), "1.00 GiB");
  EXPECT_EQ(to_text(Bytes(-2048)), "-2.00 KiB");
  EXPECT_EQ(to_text(Bytes(std::numeric_limits<std::int64_t>::max())), "8.00 EiB");
  EXPECT_EQ(to_text(Flops(4.09e9)), "4.09 GFLOP");
  EXPECT_EQ(to_text(Flops(999.9e9)), "1.00 TFLOP");
  EXPECT_EQ(to_text(BytesPerSecond(12.34e9)), "12.3 GB/s");
  EXPECT_EQ(to_text(FlopsPerSecond(101.2e9)), "101 GFLOP/s");
}

TEST(UnitsTest, PricesShowCentsOrTwoDigits) {
  EXPECT_EQ(to_text(Dollars(1.234)), "$1.23");
  EXPECT_EQ(to_text(Dollars(1234.5)), "$1234.50");
  EXPECT_EQ(to_text(Dollars(0.00042)), "$0.00042");
  EXPECT_EQ(to_text(Dollars(0.05)), "$0.05");
  EXPECT_EQ(to_text(Dollars(0.0999)), "$0.10");
  EXPECT_EQ(to_text(Dollars(0.5)), "$0.50");
  EXPECT_EQ(to_text(Dollars(0)), "$0.00");
  EXPECT_EQ(to_text(Dollars(-2)), "-$2.00");
}

TEST(UnitsTest, PrintedTimesReadBackWithinTheirDigits) {
  for (std::uint64_t i = 0; i < 2000; ++i) {
    const Seconds time(std::pow(10.0, -8 + 15 * static_cast<double>(philox_uniform(3, 0, 0, i))));
    const std::string text = to_text(time);
    const Result<Seconds> read = parse_duration(text);
    ASSERT_TRUE(read.ok()) << text;
    EXPECT_NEAR(*read / time, 1, 0.03) << text;
  }
}

TEST(UnitsTest, PrintedAmountsReadBackWithinTheirDigits) {
  for (std::uint64_t i = 0; i < 2000; ++i) {
    const Bytes amount(static_cast<std::int64_t>(
        std::pow(2.0, 49 * static_cast<double>(philox_uniform(4, 0, 0, i)))));
    const Result<Bytes> read = parse_bytes(to_text(amount));
    ASSERT_TRUE(read.ok()) << to_text(amount);
    EXPECT_NEAR(*read / amount, 1, 0.006) << to_text(amount);
  }
}

}  // namespace
}  // namespace pluto
