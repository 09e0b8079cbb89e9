// The tables of the founding systems come out of lowered and simulated plans. Assumptions stand
// beside each table in costmodel/founding_tables.cc; `founding_tables` prints them all.

#include "costmodel/founding_tables.h"

#include <gtest/gtest.h>

#include <cmath>
#include <iostream>

#include "costmodel/strategy_volume.h"
#include "model/zoo.h"

namespace pluto {
namespace {

FoundingTable checked(Result<FoundingTable> table) {
  EXPECT_TRUE(table.ok()) << (table.ok() ? "" : table.error().message);
  return table.ok() ? std::move(*table) : FoundingTable{};
}

/// Every predicted row within the tolerance.
void expect_within(const FoundingTable& table, double tolerance) {
  std::cout << to_text(table);
  ASSERT_FALSE(table.rows.empty());
  for (const FoundingRow& row : table.rows) {
    EXPECT_LE(std::abs(row.relative_error()), tolerance) << table.name << ", " << row.what;
  }
}

TEST(FoundingTables, VolumesOfLoweredPlansAreThoseOfTheTables) {
  expect_within(checked(alexnet_volumes(false)), 0.01);
  expect_within(checked(alexnet_volumes(true)), 0.01);
}

TEST(FoundingTables, VolumesOfLoweredPlansAreTheClosedForms) {
  const auto model = build_model("alexnet");
  ASSERT_TRUE(model.ok());
  constexpr double kMiB = 1 << 20;
  const FoundingTable data = checked(alexnet_volumes(false)),
                      hybrid = checked(alexnet_volumes(true));
  for (const std::size_t i : {0, 1, 2}) {
    const int gpus = 2 << i;
    const auto all = static_cast<double>(data_parallel_bytes(model->graph, gpus).value());
    const auto most = static_cast<double>(hybrid_parallel_bytes(model->graph, gpus, 512).value());
    EXPECT_DOUBLE_EQ(*data.rows[i].predicted, all / kMiB);
    EXPECT_DOUBLE_EQ(*hybrid.rows[i].predicted, most / kMiB);
  }
}

TEST(FoundingTables, SpeedUpsOfK40) {
  expect_within(checked(alexnet_speed_ups(k40_machine())), 0.25);
}

TEST(FoundingTables, SpeedUpsOfM40) {
  expect_within(checked(alexnet_speed_ups(m40_machine())), 0.3);
}

// More GPUs lose with data parallelism and win with the hybrid.
TEST(FoundingTables, OnlyTheHybridGains) {
  for (const HostMachine& machine : {k40_machine(), m40_machine()}) {
    for (const FoundingRow& row : checked(alexnet_speed_ups(machine)).rows) {
      EXPECT_EQ(*row.predicted > 1, row.published > 1) << machine.name << ", " << row.what;
    }
  }
}

TEST(FoundingTables, LateMultiplication) { expect_within(checked(late_multiplication()), 0.35); }

TEST(FoundingTables, RingFusionAndOverlapGain) {
  expect_within(checked(convnet_gains(PLUTO_SOURCE_DIR "/data")), 0.3);
}

// Too much is unsaid: the rows are printed, and nothing is claimed.
TEST(FoundingTables, TheRecommenderIsNotPredicted) {
  std::cout << to_text(recommender_gains());
  for (const FoundingRow& row : recommender_gains().rows) EXPECT_FALSE(row.predicted) << row.what;
}

}  // namespace
}  // namespace pluto
