#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plan/catalog.h"
#include "tests/support/temporary_folder.h"

namespace pluto {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

// Rows as SkyPilot's catalog has them (v8: nebius, lambda, gcp), with the traps of each.
constexpr const char* kPrices =
    "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,Region,GpuInfo,SpotPrice\n"
    "cpu-d3_4vcpu-16gb,,0,4,16,0.0992,eu-north1,,\n"
    "h100_8gpu,H100,8,128,1600,23.60,eu-north1,\"{'Gpus': [{'Name': 'H100', 'Manufacturer': "
    "'NVIDIA', "
    "'Count': 8, 'MemoryInfo': {'SizeInMiB': 81920}}], 'TotalGpuMemoryInMiB': 655360}\",10.00\n"
    "h100_8gpu,H100,8.0,128,1600,25.00,us-east1,,12.00\n"
    "h200_8gpu,H200,8,128,1600,28.00,eu-north1,\"{'Gpus': [{'Name': 'H200', 'MemoryInfo': "
    "{'SizeInMiB': 81920}}], 'TotalGpuMemoryInMiB': 81920}\",\n"
    ",A100,1,,,2.93,us-central1,,1.15\n"
    "abacus_1,ABACUS,1,1,1,1.00,eu-north1,,\n"
    "h100_half,H100,0.5,8,100,1.50,eu-north1,,\n"
    "v100_spot_only,V100,8,88,448,,eu-north1,,3.00\n"
    "gpu_1x_h100_pcie,H100,1.0,26,225,3.29,us-west-3,,\n";

class CatalogPricesTest : public ::testing::Test {
 protected:
  CatalogPricesTest()
      : catalog_(*Catalog::load(std::string(PLUTO_SOURCE_DIR) + "/data/catalog")),
        path_(folder_.write("vms.csv", kPrices)) {}
  testing::TemporaryFolder folder_;
  Catalog catalog_;
  std::string path_;
};

TEST_F(CatalogPricesTest, CheapestRegionIsKeptWithItsOwnSpotPrice) {
  ASSERT_TRUE(catalog_.add_prices(path_, "nebius").ok());
  const auto h100 = catalog_.instance("nebius:h100_8gpu");
  ASSERT_TRUE(h100.ok());
  EXPECT_EQ(h100->price, DollarsPerHour(23.60));
  EXPECT_EQ(h100->spot_price, DollarsPerHour(10));
  EXPECT_EQ(h100->node.devices, 8);
  EXPECT_EQ(h100->node.device.name, "H100 SXM");
  EXPECT_EQ(h100->price_date, "not stated");
  EXPECT_THAT(h100->source, HasSubstr("vms.csv, eu-north1"));
}

TEST_F(CatalogPricesTest, BlankSpotPriceMeansNotOffered) {
  ASSERT_TRUE(catalog_.add_prices(path_, "nebius").ok());
  EXPECT_EQ(catalog_.instance("nebius:h200_8gpu")->spot_price, std::nullopt);
}

TEST_F(CatalogPricesTest, RowsThatAreNoInstanceAreCountedNotGuessed) {
  ASSERT_TRUE(catalog_.add_prices(path_, "nebius").ok());
  for (const char* name : {"nebius:", "nebius:cpu-d3_4vcpu-16gb", "nebius:abacus_1",
                           "nebius:h100_half", "nebius:v100_spot_only"}) {
    EXPECT_FALSE(catalog_.instance(name).ok()) << name;
  }
  for (const char* reason :
       {"1 rows left out: no accelerator in the row", "1 rows left out: an accelerator sold apart",
        "1 rows left out: accelerator \"ABACUS\" is unknown",
        "1 rows left out: a part of an accelerator", "1 rows left out: no price on demand"}) {
    EXPECT_THAT(catalog_.warnings(), Contains(HasSubstr(reason)));
  }
}

TEST_F(CatalogPricesTest, DeviceFactsStayOursAndAConflictIsAWarning) {
  ASSERT_TRUE(catalog_.add_prices(path_, "nebius").ok());
  EXPECT_EQ(catalog_.instance("nebius:h200_8gpu")->node.device.memory, Bytes(141'000'000'000));
  EXPECT_THAT(
      catalog_.warnings(),
      Contains(HasSubstr("vms.csv:5: H200 of 85.9 GB, but the catalog's H200 SXM has 141 GB")));
  // Gibibytes against a vendor's gigabytes are no conflict, nor is a total of the whole machine.
  EXPECT_THAT(catalog_.warnings(), ::testing::Not(Contains(HasSubstr("H100 of"))));
}

TEST_F(CatalogPricesTest, InstanceNameTellsTheFormOfTheCard) {
  ASSERT_TRUE(catalog_.add_prices(path_, "lambda").ok());
  EXPECT_EQ(catalog_.instance("lambda:gpu_1x_h100_pcie")->node.device.name, "H100 PCIe");
}

TEST_F(CatalogPricesTest, FreshPricesReplaceOldOnes) {
  const std::size_t before = catalog_.instances().size();
  const std::string path = folder_.write(
      "aws.csv",
      "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,"
      "Region,"
      "AvailabilityZone\np4d.24xlarge,A100,8.0,96.0,1152.0,,20.5,9.25,us-east-1,use1-az2\n");
  ASSERT_TRUE(catalog_.add_prices(path, "aws").ok());
  EXPECT_EQ(catalog_.instances().size(), before);
  EXPECT_EQ(catalog_.instance("aws:p4d.24xlarge")->price, DollarsPerHour(20.5));
  EXPECT_EQ(catalog_.instance("aws:p4d.24xlarge")->spot_price, DollarsPerHour(9.25));
}

TEST_F(CatalogPricesTest, MalformedFilesAddNothing) {
  const std::size_t before = catalog_.instances().size();
  const struct {
    const char* content;
    const char* message;
  } cases[] = {
      {"InstanceType,Price\na,1\n", "bad.csv:1: there is no column \"AcceleratorName\""},
      {"InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,Region,SpotPrice\n"
       "good,H100,1,1,1,2.0,r,\nbad,H100,1,1,1,cheap,r,\n",
       "bad.csv:3: Price: \"cheap\""},
      {"InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,Region,SpotPrice\n"
       "bad,H100,1,1,1,-2,r,\n",
       "bad.csv:2: Price: \"-2\""},
      {"InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,Region,SpotPrice\n"
       "bad,H100,1,1\n",
       "bad.csv:2: "},
      {"", "bad.csv"},
  };
  for (const auto& bad : cases) {
    SCOPED_TRACE(bad.message);
    const auto added = catalog_.add_prices(folder_.write("bad.csv", bad.content), "x");
    ASSERT_FALSE(added.ok());
    EXPECT_EQ(added.error().code, ErrorCode::kInvalidInput);
    EXPECT_THAT(added.error().message, HasSubstr(bad.message));
    EXPECT_EQ(catalog_.instances().size(), before);
  }
  EXPECT_EQ(catalog_.add_prices(folder_.file("none.csv"), "x").error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace pluto
