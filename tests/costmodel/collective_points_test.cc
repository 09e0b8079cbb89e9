#include "costmodel/collective_points.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/support/temporary_folder.h"

namespace pluto {
namespace {

const std::string kData = std::string(PLUTO_SOURCE_DIR) + "/data";
constexpr const char* kHeader =
    "system,gpu,link,link_GBps,collective,gpus,bytes,time_us,used,source\n";

Result<std::vector<CollectiveRow>> read(const std::string& rows) {
  const testing::TemporaryFolder folder;
  const auto table = load_nccl(kData + "/nccl.json");
  return read_collectives(folder.write("collectives.csv", kHeader + rows), table.value());
}

TEST(CollectivePoints, AreCallsInOneNode) {
  const auto rows = read(
      "two cards,V100,NVLink2,150,all_reduce,2,1048576,40,yes,test\n"
      "left out,V100,NVLink2,150,all_reduce,4,1048576,40,no: lost,test\n"
      "a bus,P100,PCIe3,12,all_gather,8,4096,100,yes,test\n");
  ASSERT_TRUE(rows.ok()) << rows.error().message;
  ASSERT_EQ(rows->size(), 2U);
  EXPECT_EQ((*rows)[0].call.ranks, 2);
  EXPECT_EQ((*rows)[0].cluster.instance.node.devices, 2);
  EXPECT_DOUBLE_EQ((*rows)[0].seconds, 40e-6);
  EXPECT_DOUBLE_EQ((*rows)[0].cluster.instance.node.intra.bandwidth.value(), 150e9);
  EXPECT_EQ((*rows)[1].link, "PCIe");
  EXPECT_EQ((*rows)[1].line, 4);
}

TEST(CollectivePoints, NameTheLineThatLacksACell) {
  const auto rows = read("two cards,V100,NVLink2,150,all_reduce,2,,40,yes,test\n");
  ASSERT_FALSE(rows.ok());
  EXPECT_THAT(rows.error().message, ::testing::HasSubstr("collectives.csv:2"));
}

}  // namespace
}  // namespace pluto
