#include "costmodel/training_points.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/support/temporary_folder.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;

const std::string kData = std::string(PLUTO_SOURCE_DIR) + "/data";
const std::string kHeader =
    "model,machine,nodes,gpus,batch,precision,framework,sync,step_s,memory_MiB,outcome\n";

class TrainingPoints : public ::testing::Test {
 protected:
  TrainingPoints() {
    const auto catalog = Catalog::load(kData + "/catalog");
    EXPECT_TRUE(catalog.ok()) << catalog.error().message;
    auto read = read_machines(kData + "/measured/machines.csv", *catalog);
    EXPECT_TRUE(read.ok()) << read.error().message;
    machines = std::move(*read);
    frameworks.frameworks["pytorch"] = {};
  }
  Result<std::vector<TrainingRow>> read(const std::string& text) const {
    const testing::TemporaryFolder folder;
    return read_training_points(folder.write("rows.csv", text), machines, frameworks);
  }
  std::map<std::string, Machine> machines;
  FrameworkTable frameworks;
};

TEST_F(TrainingPoints, ARowSaysWhatRanAndWhatCameOut) {
  const auto rows =
      read(kHeader + "resnet50,dgx1-v100,2,6,32,mixed,pytorch,server_hosts,0.25,1000,\n");
  ASSERT_TRUE(rows.ok()) << rows.error().message;
  const TrainingRow& row = rows->front();
  EXPECT_EQ(row.model.source, "resnet50");
  EXPECT_EQ(row.gpus, 6);
  EXPECT_EQ(row.cluster.nodes, 2);
  EXPECT_EQ(row.cluster.instance.node.devices, 3) << "what takes part";
  EXPECT_EQ(row.cluster.instance.node.network.shared_by, 3);
  EXPECT_EQ(row.precision, StepPrecision::kMixed);
  EXPECT_EQ(row.sync, StepSync::kServerHosts);
  EXPECT_EQ(row.step, Seconds(0.25));
  EXPECT_EQ(row.memory, Bytes(1000 * 1024 * 1024));
  EXPECT_FALSE(row.out_of_memory);
  EXPECT_FALSE(row.exposed_comm.has_value());
  EXPECT_EQ(row.line, 2);
}

TEST_F(TrainingPoints, WrongCellsNameLineAndColumn) {
  for (const auto& [row, where] : {
           std::pair("resnet50,nowhere,1,1,8,fp32,pytorch,,1,,\n", "machine"),
           std::pair("resnet50,titanx,1,1,8,fp32,caffe,,1,,\n", "framework"),
           std::pair("resnet50,titanx,1,1,8,fp12,pytorch,,1,,\n", "precision"),
           std::pair("resnet50,titanx,1,1,0,fp32,pytorch,,1,,\n", "batch"),
           std::pair("resnet50,titanx,1,4,8,fp32,pytorch,,1,,\n", "gpus"),
           std::pair("resnet50,rtx3090,2,4,8,fp32,pytorch,,1,,\n", "nodes"),
           std::pair("resnet50,titanx,1,1,8,fp32,pytorch,,1,,burnt\n", "outcome"),
       }) {
    const auto rows = read(kHeader + row);
    ASSERT_FALSE(rows.ok()) << row;
    EXPECT_THAT(rows.error().message, HasSubstr(std::string("rows.csv:2: ") + where)) << row;
  }
  EXPECT_THAT(read("model,colour\n").error().message, HasSubstr("colour"));
}

TEST_F(TrainingPoints, WordsReadBack) {
  for (const auto one : {StepPrecision::kFp32, StepPrecision::kTf32, StepPrecision::kMixed}) {
    EXPECT_EQ(*parse_step_precision(to_text(one)), one);
  }
  for (const auto one :
       {StepSync::kAllReduce, StepSync::kServerCpu, StepSync::kServerGpu, StepSync::kServerHosts}) {
    EXPECT_EQ(*parse_step_sync(to_text(one)), one);
  }
  EXPECT_FALSE(parse_step_sync("pigeon").ok());
}

}  // namespace
}  // namespace pluto
