#include "costmodel/transformer_candidates.h"

#include <gtest/gtest.h>

#include <set>

#include "costmodel/transformer_memory.h"
#include "plan/catalog.h"
#include "tests/support/temporary_folder.h"

namespace pluto {
namespace {

const std::string kData = PLUTO_SOURCE_DIR "/data";

InstanceType instance(const std::string& name) {
  return Catalog::load(kData + "/catalog").value().instance(name).value();
}

TEST(TransformerCandidates, FitOneNodeAndItsMemory) {
  const InstanceType node = instance("aws:p4d.24xlarge");
  const auto rows = candidate_runs(node);
  EXPECT_GT(rows.size(), 500U);
  std::set<int> devices;
  for (const auto& row : rows) {
    devices.insert(row.point.plan.devices());
    EXPECT_TRUE(check(row.point.shape, row.point.plan).ok());
    EXPECT_LE(predict_transformer_memory(row.point.shape, row.point.plan)->reserved(),
              node.node.device.memory);
  }
  EXPECT_EQ(devices, (std::set<int>{1, 2, 4, 8}));
}

TEST(TransformerCandidates, ADeviceWithoutHalvesHasNone) {
  InstanceType node = instance("aws:p4d.24xlarge");
  node.node.device.peak.erase(DType::kBF16);
  ASSERT_FALSE(candidate_runs(node).empty());
  EXPECT_EQ(candidate_runs(node).front().point.plan.precision, TrainPrecision::kFp16);
  node.node.device.peak.erase(DType::kF16);
  EXPECT_TRUE(candidate_runs(node).empty());
}

TEST(TransformerCandidates, TheTableReadsBack) {
  const InstanceType node = instance("aws:p4d.24xlarge");
  auto rows = candidate_runs(node);
  rows.resize(40);
  rows[3].point.step = Seconds(0.25);
  rows[4].point.plan.sequence_parallel = true;
  const testing::TemporaryFolder folder;
  const auto read =
      read_transformer_points(folder.write("points.csv", to_csv(rows)), {{node.name, node.node}});
  ASSERT_TRUE(read.ok()) << read.error().message;
  ASSERT_EQ(read->size(), rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ((*read)[i].point.shape, rows[i].point.shape);
    EXPECT_EQ((*read)[i].point.plan, rows[i].point.plan);
    EXPECT_EQ((*read)[i].point.step, rows[i].point.step);
  }
}

}  // namespace
}  // namespace pluto
