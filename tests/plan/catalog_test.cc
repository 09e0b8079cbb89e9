#include "plan/catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/support/temporary_folder.h"

namespace pluto {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kInstalled = std::string(PLUTO_SOURCE_DIR) + "/data/catalog";

Catalog installed() {
  auto catalog = Catalog::load(kInstalled);
  EXPECT_TRUE(catalog.ok()) << catalog.error().message;
  return std::move(catalog).value();
}

TEST(CatalogTest, DeviceFactsAreThoseOfTheDatasheet) {
  const auto h100 = installed().device("H100 SXM");
  ASSERT_TRUE(h100.ok());
  EXPECT_EQ(h100->kind, DeviceKind::kGpu);
  EXPECT_EQ(h100->memory, Bytes(80'000'000'000));
  EXPECT_DOUBLE_EQ(h100->memory_bandwidth.value(), 3.35e12);
  // f32 without TF32, which is a mode and no element type here.
  EXPECT_DOUBLE_EQ(h100->peak.at(DType::kF32).value(), 67e12);
  EXPECT_DOUBLE_EQ(h100->peak.at(DType::kBF16).value(), 989e12);
  EXPECT_DOUBLE_EQ(h100->peak.at(DType::kF16).value(), 989e12);
  EXPECT_DOUBLE_EQ(h100->tf32_peak->value(), 494.5e12);
  EXPECT_DOUBLE_EQ(h100->f8_peak->value(), 1979e12);
  EXPECT_EQ(h100->generation, "Hopper");
  EXPECT_EQ(h100->multiprocessors, 132);
  EXPECT_EQ(h100->cache, Bytes(50'000'000));
  const auto v100 = installed().device("V100 SXM2");
  ASSERT_TRUE(v100.ok());
  EXPECT_FALSE(v100->peak.contains(DType::kBF16)) << "this card has no bf16";
}

TEST(CatalogTest, InstancesJoinPriceDeviceAndNetwork) {
  const auto p4d = installed().instance("aws:p4d.24xlarge");
  ASSERT_TRUE(p4d.ok());
  EXPECT_EQ(p4d->node.device.name, "A100 SXM 40GB");
  EXPECT_EQ(p4d->node.devices, 8);
  EXPECT_EQ(p4d->price, DollarsPerHour(21.957642));
  EXPECT_EQ(p4d->spot_price, DollarsPerHour(6.7915));
  ASSERT_TRUE(p4d->rental.has_value());
  EXPECT_EQ(p4d->rental->interruptions.evidence, Evidence::kAssumed);
  EXPECT_EQ(p4d->node.intra.name, "NVLink3");
  EXPECT_DOUBLE_EQ(p4d->node.intra.bandwidth.value(), 300e9);
  EXPECT_EQ(p4d->node.intra.shared_by, 1);
  EXPECT_EQ(p4d->node.network.name, "400 Gb/s EFA");
  EXPECT_DOUBLE_EQ(p4d->node.network.bandwidth.value(), 50e9);
  EXPECT_EQ(p4d->node.network.shared_by, 8) << "one interface for the node";
  EXPECT_THAT(p4d->price_date, HasSubstr("2025"));
  EXPECT_THAT(p4d->source, HasSubstr("karpenter-provider-aws"));
}

TEST(CatalogTest, SameWordMeansAnotherCardElsewhere) {
  const Catalog catalog = installed();
  EXPECT_EQ(catalog.instance("aws:p3.2xlarge")->node.device.name, "V100 SXM2");
  EXPECT_EQ(catalog.instance("azure:Standard_NC6s_v3")->node.device.name, "V100 PCIe");
  EXPECT_EQ(catalog.instance("aws:p3dn.24xlarge")->node.device.memory, Bytes(32'000'000'000));
  EXPECT_EQ(catalog.instance("azure:Standard_NC24ads_A100_v4")->node.device.name, "A100 PCIe 80GB");
  EXPECT_EQ(catalog.instance("azure:Standard_ND96amsr_A100_v4")->node.device.name, "A100 SXM 80GB");
}

TEST(CatalogTest, FactsFromMemoryKeepTheirMark) {
  const Catalog catalog = installed();
  EXPECT_THAT(catalog.instance("aws:g4dn.xlarge")->source, HasSubstr("from memory"));
  EXPECT_THAT(catalog.instance("aws:p5.48xlarge")->source, HasSubstr("network: aws/karpenter"));
  EXPECT_THAT(catalog.instance("paperspace:Volta")->source, HasSubstr("assumed"));
  EXPECT_THAT(catalog.instance("paperspace:Volta")->node.network.name, HasSubstr("assumed"));
}

TEST(CatalogTest, HostWithoutItsGpuIsNoBargain) {
  const Catalog catalog = installed();
  // The price list also has this host for $0.74, its GPU not included.
  EXPECT_EQ(catalog.instance("gcp:a2-highgpu-1g")->price, DollarsPerHour(3.673385));
  EXPECT_THAT(catalog.warnings(), Contains(HasSubstr("gcp:a2-megagpu-16g left out: accelerator "
                                                     "\"host only")));
}

TEST(CatalogTest, NewestOfSeveralPricesCounts) {
  const Catalog catalog = installed();
  EXPECT_THAT(catalog.instance("aws:p3.16xlarge")->price_date, HasSubstr("2025"));
  EXPECT_THAT(catalog.warnings(),
              Contains(HasSubstr("aws:p3.16xlarge has several prices; the one of 2025")));
}

TEST(CatalogTest, WhatCannotBeMatchedIsReported) {
  const Catalog catalog = installed();
  for (const char* name : {"aws:dl1.24xlarge", "aws:m5.24xlarge", "gcp:n1-standard-16"}) {
    EXPECT_FALSE(catalog.instance(name).ok());
    EXPECT_THAT(catalog.warnings(), Contains(HasSubstr(std::string(name) + " left out")));
  }
  EXPECT_THAT(catalog.warnings(), Contains(HasSubstr("TPU v4 left out")));
}

TEST(CatalogTest, EveryInstanceIsWholeAndEveryNameUnique) {
  const Catalog catalog = installed();
  EXPECT_GE(catalog.devices().size(), 48U);
  EXPECT_GE(catalog.instances().size(), 80U);
  std::set<std::string> names;
  for (const DeviceSpec& device : catalog.devices()) {
    SCOPED_TRACE(device.name);
    EXPECT_TRUE(names.insert(device.name).second);
    EXPECT_GT(device.memory.value(), 1'000'000'000);
    EXPECT_GT(device.memory_bandwidth.value(), 1e11);
    for (const auto& [dtype, flops] : device.peak) EXPECT_GT(flops.value(), 1e12);
  }
  names.clear();
  for (const InstanceType& instance : catalog.instances()) {
    SCOPED_TRACE(instance.name);
    EXPECT_TRUE(names.insert(instance.name).second);
    EXPECT_GE(instance.node.devices, 1);
    EXPECT_GT(instance.price.value(), 0.1);
    EXPECT_LT(instance.price.value(), 200);
    EXPECT_TRUE(instance.node.device.peak.contains(DType::kF32)) << "nothing trains there";
    for (const LinkSpec& link : {instance.node.intra, instance.node.network}) {
      EXPECT_GT(link.alpha.value(), 1e-7);
      EXPECT_LT(link.alpha.value(), 1e-3);
      EXPECT_GT(link.bandwidth.value(), 1e8);
    }
    EXPECT_EQ(instance.node.network.shared_by, instance.node.devices);
    EXPECT_FALSE(instance.source.empty());
  }
}

TEST(CatalogTest, UnknownNamesGetTheNearest) {
  const Catalog catalog = installed();
  const auto instance = catalog.instance("aws:p4d.24xlarg");
  ASSERT_FALSE(instance.ok());
  EXPECT_EQ(instance.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(instance.error().help, "did you mean \"aws:p4d.24xlarge\"?");
  EXPECT_EQ(catalog.device("H100 SMX").error().help, "did you mean \"H100 SXM\"?");
  EXPECT_THAT(catalog.device("abacus").error().help, Not(HasSubstr("mean")));
}

// Small files with one fault each.
class FaultyCatalogTest : public ::testing::Test {
 protected:
  FaultyCatalogTest() {
    folder_.write("links.csv",
                  "link,instances,alpha_us,bandwidth_GBps,source\n"
                  "NVLink,,3,300,x\nPCIe,,6,16,x\nEthernet,*,30,1.25,x\n");
    folder_.write("gpu_specs.csv",
                  "gpu,fp32_tflops,tf32_tflops_dense,fp16_tflops_dense,bf16_tflops_dense,mem_GB,"
                  "mem_GBps,link,link_unidir_GBps,verification,source\n"
                  "G1,10,80,20,,16,900,NVLink,250,verified,x\nG2,5,,,,8,300,,,verified,x\n");
    folder_.write("accelerators.csv", "accelerator,instances,gpu,source\ng1,*,G1,x\ng2,*,G2,x\n");
    folder_.write("cloud_prices.csv",
                  "cloud,instance_type,accelerator,accelerator_count,vcpus,price_usd_per_h,"
                  "spot_usd_per_h,region,date,verification,source\n"
                  "c,a,g1,2,16,3.5,1.5,r,2026,v,x\nc,b,g2,1,,1,,r,2026,v,x\n");
    folder_.write(
        "run_overheads.json",
        R"({"schema": 1, "about": "x", "providers": {"*": {"provisioning_s": 1, "boot_s": 2,
            "billing_step_s": 3, "billing_minimum_s": 4, "storage_bytes_per_s": 5,
            "storage_usd_per_gb_month": 6, "spot_price_spread": 0, "source": "x"}},
            "interruptions": {"between_h": 1, "wait_h": 2, "spread": 1, "evidence": "assumed",
            "source": "x"}, "traced_interruptions": []})");
  }
  testing::TemporaryFolder folder_;
};

TEST_F(FaultyCatalogTest, WithoutFaultLoads) {
  const auto catalog = Catalog::load(folder_.path());
  ASSERT_TRUE(catalog.ok()) << catalog.error().message;
  EXPECT_TRUE(catalog->warnings().empty());
  const InstanceType a = *catalog->instance("c:a");
  EXPECT_EQ(a.spot_price, DollarsPerHour(1.5));
  EXPECT_DOUBLE_EQ(a.node.intra.bandwidth.value(), 250e9) << "the device's own figure";
  ASSERT_TRUE(a.rental.has_value());
  EXPECT_EQ(a.rental->boot, Seconds(2));
  EXPECT_EQ(a.rental->interruptions.wait, Seconds(7200));
  const InstanceType b = *catalog->instance("c:b");
  EXPECT_EQ(b.node.intra.name, "PCIe (assumed)") << "the slowest, when the table says nothing";
}

TEST_F(FaultyCatalogTest, FaultsAreNamedWithFileAndLine) {
  const struct {
    const char* file;
    const char* content;
    const char* message;
  } cases[] = {
      {"links.csv", "link,instances,alpha_us,bandwidth_GBps,source\nA,,3,fast,x\n",
       "links.csv:2: bandwidth_GBps: \"fast\""},
      {"links.csv", "link,instances,alpha_us,bandwidth_GBps,source\nA,,3,1,x\nA,,3,1,x\n",
       "links.csv:3: \"A\" is there twice"},
      {"links.csv", "link,instances,alpha_us,bandwidth_GBps,source\nA,,3,1,x\nB,aws:*,3,1,x\n",
       "links.csv: the last network must be for all instances"},
      {"links.csv", "link,instances,alpha_us,bandwidth_GBps,source\nB,*,3,1,x\n",
       "links.csv: no link inside a node"},
      {"links.csv", "link,alpha_us,bandwidth_GBps,source\n",
       "links.csv:1: there is no column \"instances\""},
      {"links.csv", "link,instances,alpha_us,bandwidth_GBps,source\nA,,3\n", "links.csv:2: "},
      {"accelerators.csv", "accelerator,instances,gpu,source\ng1,*,G9,x\n",
       "accelerators.csv:2: \"G9\" is not in gpu_specs.csv"},
      {"gpu_specs.csv",
       "gpu,fp32_tflops,fp16_tflops_dense,bf16_tflops_dense,mem_GB,mem_GBps,link,link_unidir_GBps,"
       "verification,source\nG1,10,20,,16,900,CXL,,verified,x\n",
       "gpu_specs.csv:2: link \"CXL\" is not in links.csv"},
      {"gpu_specs.csv",
       "gpu,fp32_tflops,fp16_tflops_dense,bf16_tflops_dense,mem_GB,mem_GBps,link,link_unidir_GBps,"
       "verification,source\nG1,10,20,,,900,NVLink,,verified,x\n",
       "gpu_specs.csv:2: mem_GB: expected a number above zero"},
      {"run_overheads.json", R"({"schema": 2})", "run_overheads.json:1: schema: expected 1"},
      {"cloud_prices.csv",
       "cloud,instance_type,accelerator,accelerator_count,vcpus,price_usd_per_h,spot_usd_per_h,"
       "region,"
       "date,verification,source\nc,a,g1,2,16,free,,r,2026,v,x\n",
       "cloud_prices.csv:2: price_usd_per_h: \"free\""},
  };
  for (const auto& bad : cases) {
    SCOPED_TRACE(bad.message);
    const std::string good = folder_.read(bad.file);
    folder_.write(bad.file, bad.content);
    const auto catalog = Catalog::load(folder_.path());
    ASSERT_FALSE(catalog.ok());
    EXPECT_EQ(catalog.error().code, ErrorCode::kInvalidInput);
    EXPECT_THAT(catalog.error().message, HasSubstr(bad.message));
    folder_.write(bad.file, good);
  }
}

TEST_F(FaultyCatalogTest, MissingFilesAndFoldersAreNotFound) {
  EXPECT_EQ(Catalog::load(folder_.file("none")).error().code, ErrorCode::kNotFound);
  std::filesystem::remove(folder_.file("links.csv"));
  const auto catalog = Catalog::load(folder_.path());
  ASSERT_FALSE(catalog.ok());
  EXPECT_EQ(catalog.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(catalog.error().message, HasSubstr("links.csv"));
}

}  // namespace
}  // namespace pluto
