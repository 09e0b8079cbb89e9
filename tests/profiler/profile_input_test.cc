#include <gtest/gtest.h>

#include <set>

#include "profiler/profile.h"
#include "tests/support/recording_sink.h"

namespace pluto {
namespace {

TEST(ProfileInputTest, RecordsTheTimeOfOneSample) {
  testing::RecordingSink sink;
  std::set<std::int64_t> read;
  ProfileLimits limits;
  limits.max_repeats = 10;
  auto outcome = profile_input(
      "fashion-mnist", Bytes(785), [&](std::int64_t sample) { read.insert(sample); }, 100,
      RunContext{}, limits, sink);
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->measured, 1);
  const auto rows = sink.all<InputMeasurement>();
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].source, "fashion-mnist");
  EXPECT_EQ(rows[0].bytes_per_sample, Bytes(785));
  EXPECT_GE(rows[0].time_per_sample.count, 5);
  EXPECT_GE(*read.begin(), 0);
  EXPECT_LT(*read.rbegin(), 100);
  EXPECT_GT(read.size(), 50U) << "the same few samples stay in the cache";
}

TEST(ProfileInputTest, NoSamplesIsNoMeasurement) {
  testing::RecordingSink sink;
  auto outcome = profile_input(
      "synthetic", Bytes(1), [](std::int64_t) { FAIL(); }, 0, RunContext{}, {}, sink);
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->measured, 0);
}

TEST(ProfileInputTest, AFailingSinkIsReported) {
  testing::FailingSink sink;
  auto outcome = profile_input(
      "synthetic", Bytes(1), [](std::int64_t) {}, 10, RunContext{}, {}, sink);
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(outcome.error().message, "the disk is full");
}

}  // namespace
}  // namespace pluto
