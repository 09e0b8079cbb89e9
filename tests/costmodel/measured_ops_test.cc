#include "costmodel/measured_ops.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "plan/catalog.h"
#include "tests/support/temporary_folder.h"

namespace pluto {
namespace {

const std::string kData = std::string(PLUTO_SOURCE_DIR) + "/data";

TEST(MeasuredOps, ReadsConvolutionsInAllThreePasses) {
  const auto catalog = Catalog::load(kData + "/catalog");
  ASSERT_TRUE(catalog.ok());
  const auto measured = read_measured_ops(kData + "/measured", {"deepbench_conv"}, *catalog);
  ASSERT_TRUE(measured.ok()) << measured.error().message;
  EXPECT_GT(measured->ops.size(), 1000U);
  std::set<int> of_line;
  for (const MeasuredOp& op : measured->ops) {
    EXPECT_EQ(op.sample.shape.op_class, OpClass::kConv);
    EXPECT_GT(op.sample.seconds, 0);
    EXPECT_FALSE(op.what.empty());
    if (op.line == measured->ops.front().line) of_line.insert(static_cast<int>(op.fold % 1000));
  }
  EXPECT_GE(of_line.size(), 2U) << "passes of one row are different operators";
}

TEST(MeasuredOps, ReadsOnlyTheTablesAskedFor) {
  const auto catalog = Catalog::load(kData + "/catalog");
  ASSERT_TRUE(catalog.ok());
  const auto none = read_measured_ops(kData + "/measured", {}, *catalog);
  ASSERT_TRUE(none.ok());
  EXPECT_TRUE(none->ops.empty());
  EXPECT_FALSE(none->also.empty()) << "which devices share surfaces is of no table";
  EXPECT_FALSE(read_measured_ops(kData + "/measured", {"deepbench"}, *catalog).ok());
  EXPECT_EQ(op_tables().size(), 5U);
}

TEST(MeasuredOps, ADeviceThatTheCatalogLacksIsAnError) {
  const auto catalog = Catalog::load(kData + "/catalog");
  ASSERT_TRUE(catalog.ok());
  const testing::TemporaryFolder folder;
  folder.write("devices.csv", "measured,device,also,source\nmine,No Such Card,,test\n");
  EXPECT_FALSE(read_measured_devices(folder.path(), *catalog).ok());
  EXPECT_EQ(read_measured_devices(kData + "/measured", *catalog)->at("NV_V100").name, "V100 SXM2");
}

}  // namespace
}  // namespace pluto
