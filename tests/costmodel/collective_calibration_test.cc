#include "costmodel/collective_calibration.h"

#include <gtest/gtest.h>

#include "costmodel/collective_time.h"
#include "tests/support/table_costs.h"

namespace pluto {
namespace {

using testing::test_cluster;

CollectiveMeasurement measured(CollectiveKind kind, std::int64_t bytes, int ranks, double seconds,
                               const std::string& transport = "mpi") {
  return {kind, Bytes(bytes), ranks, transport, Timing{Seconds(seconds), 0.02, 20}, 0.3};
}

TEST(AlphaBetaFit, FindsTheLineItWasMadeFrom) {
  std::vector<SizedTime> points;
  for (const std::int64_t bytes : {1024, 65536, 1 << 20, 1 << 26}) {
    points.push_back({Bytes(bytes), Seconds(2e-5 + 3e-10 * static_cast<double>(bytes))});
  }
  const auto fit = fit_alpha_beta(points);
  EXPECT_NEAR(fit.alpha.value(), 2e-5, 1e-12);
  EXPECT_NEAR(fit.seconds_per_byte, 3e-10, 1e-17);
  EXPECT_NEAR(fit.relative_spread, 0, 1e-9);
}

TEST(AlphaBetaFit, WeighsSmallMessagesAsMuchAsLargeOnes) {
  // The large message takes ten times the line of the small ones; absolute errors would leave no
  // alpha.
  const std::vector<SizedTime> points{{Bytes(10), Seconds(1.001e-5)},
                                      {Bytes(100), Seconds(1.01e-5)},
                                      {Bytes(1000), Seconds(1.1e-5)},
                                      {Bytes(1'000'000'000), Seconds(10)}};
  EXPECT_NEAR(fit_alpha_beta(points).alpha.value(), 1e-5, 3e-6);
}

TEST(AlphaBetaFit, ParametersAreNeverNegative) {
  const auto falling = fit_alpha_beta(
      std::vector<SizedTime>{{Bytes(1000), Seconds(2e-5)}, {Bytes(9000), Seconds(1e-5)}});
  EXPECT_EQ(falling.seconds_per_byte, 0);
  EXPECT_GT(falling.alpha.value(), 0);
  const auto steep = fit_alpha_beta(
      std::vector<SizedTime>{{Bytes(1000), Seconds(1e-6)}, {Bytes(2000), Seconds(9e-6)}});
  EXPECT_EQ(steep.alpha.value(), 0);
  EXPECT_GT(steep.seconds_per_byte, 0);
  const auto single = fit_alpha_beta(std::vector<SizedTime>{{Bytes(1000), Seconds(1e-6)}});
  EXPECT_EQ(single.alpha.value(), 0);
  EXPECT_DOUBLE_EQ(single.seconds_per_byte, 1e-9);
}

class Calibration : public ::testing::Test {
 protected:
  void add(CollectiveKind kind, std::int64_t bytes, int ranks, double seconds,
           const std::string& transport = "mpi") {
    calibration.add(++id, measured(kind, bytes, ranks, seconds, transport), ranks);
  }
  CollectiveCost ask(CollectiveKind kind, std::int64_t bytes, int ranks, int servers = 0) {
    if (!finished) calibration.finish();
    finished = true;
    const auto cost =
        calibration.lookup({kind, Bytes(bytes), ranks, servers == 0 ? ranks : servers}, host);
    EXPECT_TRUE(cost.has_value());
    return cost.value_or(CollectiveCost{});
  }

  CollectiveCalibration calibration;
  std::int64_t id = 0;
  bool finished = false;
  ClusterSpec host = test_cluster(1, 8, 1e-6, 1e10);
};

TEST_F(Calibration, AMeasuredSizeIsReturnedAsMeasured) {
  add(CollectiveKind::kAllReduce, 1000, 4, 1e-5);
  add(CollectiveKind::kAllReduce, 3000, 4, 2e-5);
  const auto cost = ask(CollectiveKind::kAllReduce, 3000, 4);
  EXPECT_EQ(cost.time.value(), 2e-5);
  EXPECT_EQ(cost.evidence, Evidence::kMeasured);
  EXPECT_EQ(cost.cpu_share, 0.3);
}

TEST_F(Calibration, BetweenSizesTheTimeIsPiecewiseLinear) {
  add(CollectiveKind::kAllReduce, 1000, 4, 1e-5);
  add(CollectiveKind::kAllReduce, 3000, 4, 2e-5);
  add(CollectiveKind::kAllReduce, 9000, 4, 9e-5);
  const auto cost = ask(CollectiveKind::kAllReduce, 2000, 4);
  EXPECT_DOUBLE_EQ(cost.time.value(), 1.5e-5);
  EXPECT_EQ(cost.evidence, Evidence::kInterpolated);
}

TEST_F(Calibration, BeyondTheSizesTheFitContinues) {
  for (const std::int64_t bytes : {1000, 10'000, 100'000}) {
    add(CollectiveKind::kAllReduce, bytes, 4, 1e-5 + 1e-9 * static_cast<double>(bytes));
  }
  EXPECT_NEAR(ask(CollectiveKind::kAllReduce, 1'000'000, 4).time.value(), 1e-5 + 1e-3, 1e-9);
  EXPECT_NEAR(ask(CollectiveKind::kAllReduce, 10, 4).time.value(), 1e-5 + 1e-8, 1e-9);
}

TEST_F(Calibration, TheNewestMeasurementOfASizeWinsInAnyOrder) {
  calibration.add(7, measured(CollectiveKind::kAllReduce, 1000, 4, 1e-5), 4);
  calibration.add(3, measured(CollectiveKind::kAllReduce, 1000, 4, 9e-5), 4);
  EXPECT_EQ(ask(CollectiveKind::kAllReduce, 1000, 4).time.value(), 1e-5);
}

TEST_F(Calibration, TheNewestTransportCounts) {
  add(CollectiveKind::kAllReduce, 1000, 4, 1e-5, "in_process");
  add(CollectiveKind::kAllReduce, 2000, 4, 8e-5, "mpi");
  EXPECT_NEAR(ask(CollectiveKind::kAllReduce, 1000, 4).time.value(), 4e-5, 1e-6);
}

TEST_F(Calibration, OtherRankCountsFollowTheClosedForm) {
  for (const std::int64_t bytes : {1000, 10'000, 100'000}) {
    add(CollectiveKind::kAllReduce, bytes, 2, 1e-5 + 1e-9 * static_cast<double>(bytes));
  }
  // Ring: latency grows as 2 (P-1), bytes as (P-1)/P.
  const auto cost = ask(CollectiveKind::kAllReduce, 50'000, 4);
  EXPECT_NEAR(cost.time.value(), 3e-5 + 5e-5 * (2 * 0.75) / (2 * 0.5), 1e-9);
  EXPECT_EQ(cost.evidence, Evidence::kCalibrated);
}

TEST_F(Calibration, OtherKindsAndFewerServersAreScaledFromWhatWasMeasured) {
  for (const std::int64_t bytes : {1000, 10'000, 100'000}) {
    add(CollectiveKind::kAllReduce, bytes, 4, 6e-5 + 1.5e-9 * static_cast<double>(bytes));
  }
  host.instance.node.device.memory_bandwidth =
      BytesPerSecond(0);  // leaves the sums out of the closed forms
  const auto gather = ask(CollectiveKind::kAllGather, 50'000, 4);
  EXPECT_NEAR(gather.time.value(), 3e-5 + 0.75e-9 * 50'000, 1e-9);
  EXPECT_EQ(gather.evidence, Evidence::kCalibrated);
  const auto two = ask(CollectiveKind::kAllGather, 50'000, 4, 2);
  EXPECT_NEAR(two.time.value(), 3e-5 + 1.5e-9 * 50'000, 1e-9);
}

TEST_F(Calibration, AMeasurementInsideANodeSaysNothingAboutTheNetwork) {
  add(CollectiveKind::kAllReduce, 1000, 4, 1e-5);
  calibration.finish();
  const auto across = test_cluster(4, 1);
  EXPECT_FALSE(
      calibration.lookup({CollectiveKind::kAllReduce, Bytes(1000), 4, 4}, across).has_value());
}

TEST_F(Calibration, AMeasurementAcrossHostsServesAClusterOfSuchNodes) {
  calibration.add(1, measured(CollectiveKind::kAllReduce, 1000, 4, 1e-4), 1);
  calibration.finish();
  const auto across = test_cluster(4, 1);
  const auto cost = calibration.lookup({CollectiveKind::kAllReduce, Bytes(1000), 4, 4}, across);
  ASSERT_TRUE(cost.has_value());
  EXPECT_EQ(cost->evidence, Evidence::kMeasured);
  // Two ranks per node is another placement: scaled.
  const auto paired =
      calibration.lookup({CollectiveKind::kAllReduce, Bytes(1000), 4, 4}, test_cluster(2, 2));
  ASSERT_TRUE(paired.has_value());
  EXPECT_EQ(paired->evidence, Evidence::kCalibrated);
}

TEST_F(Calibration, OtherAlgorithmsAndGroupsWereNotMeasured) {
  add(CollectiveKind::kAllReduce, 1000, 4, 1e-5);
  calibration.finish();
  CollectiveCall call{CollectiveKind::kAllReduce, Bytes(1000), 4, 4};
  EXPECT_TRUE(calibration.lookup(call, host).has_value());
  call.groups = 2;
  EXPECT_FALSE(calibration.lookup(call, host).has_value());
  call.groups = 1;
  call.algorithm = CollectiveAlgorithm::kTree;
  EXPECT_FALSE(calibration.lookup(call, host).has_value());
  EXPECT_FALSE(calibration.lookup({CollectiveKind::kSend, Bytes(1000), 2, 2}, host).has_value());
}

}  // namespace
}  // namespace pluto
