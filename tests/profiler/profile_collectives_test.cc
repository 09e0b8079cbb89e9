#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "profiler/profile.h"
#include "tests/support/recording_sink.h"

namespace pluto {
namespace {

ProfileLimits quick() {
  ProfileLimits limits;
  limits.min_repeats = 2;
  limits.max_repeats = 3;
  return limits;
}

/// Profiles on `ranks` threads; returns rank 0's outcome and what it recorded.
std::pair<ProfileOutcome, std::vector<CollectiveMeasurement>> sweep(
    int ranks, Bytes largest, const std::vector<std::string>& known,
    const ProfileLimits& limits = quick()) {
  auto all = make_in_process_communicators(ranks);
  testing::RecordingSink sink;
  ProfileOutcome outcome;
  {
    std::vector<std::jthread> threads;
    for (auto& one : all) {
      threads.emplace_back([&, communicator = one.get()] {
        auto done =
            profile_collectives(*communicator, largest, known, RunContext{}, limits, sink, {});
        ASSERT_TRUE(done.ok()) << done.error().message;
        if (communicator->rank() == 0) outcome = *done;
      });
    }
  }
  return {outcome, sink.all<CollectiveMeasurement>()};
}

TEST(ProfileCollectivesTest, SweepsEachCollectiveUpToTheLargestSize) {
  const auto [outcome, rows] = sweep(2, Bytes(20000), {});
  // 1 KiB, 4 KiB, 16 KiB and the largest itself, three collectives each; rank 0 alone records.
  EXPECT_EQ(rows.size(), 12U);
  EXPECT_EQ(outcome.measured, 12);
  EXPECT_TRUE(outcome.complete);
  std::set<std::int64_t> sizes;
  for (const CollectiveMeasurement& row : rows) {
    sizes.insert(row.bytes.value());
    EXPECT_EQ(row.ranks, 2);
    EXPECT_EQ(row.transport, "in_process");
    EXPECT_GT(row.time.median.value(), 0);
    EXPECT_GE(row.time.count, 2);
    EXPECT_GE(row.cpu_share, 0);
    EXPECT_LE(row.cpu_share, 1);
  }
  EXPECT_EQ(sizes, (std::set<std::int64_t>{1024, 4096, 16384, 20000}));
}

TEST(ProfileCollectivesTest, WhatIsKnownIsNotMeasuredAgain) {
  const auto [outcome, rows] = sweep(2, Bytes(1024), {"all_reduce 1024", "all_gather 1024"});
  EXPECT_EQ(outcome.already_known, 2);
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].kind, CollectiveKind::kReduceScatter);
}

TEST(ProfileCollectivesTest, OneRankHasNothingToMeasure) {
  const auto [outcome, rows] = sweep(1, Bytes(1 << 20), {});
  EXPECT_TRUE(rows.empty());
  EXPECT_EQ(outcome.measured, 0);
}

TEST(ProfileCollectivesTest, TheTimeLimitEndsTheSweepAndKeepsWhatWasMeasured) {
  ProfileLimits limits = quick();
  limits.max_time = Seconds(0);
  const auto [outcome, rows] = sweep(2, Bytes(1 << 16), {}, limits);
  EXPECT_FALSE(outcome.complete);
  EXPECT_EQ(rows.size(), 1U);
}

}  // namespace
}  // namespace pluto
