#include "plan/rental_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pluto {
namespace {

using ::testing::HasSubstr;

RentalTable installed() {
  auto table =
      RentalTable::load(std::string(PLUTO_SOURCE_DIR) + "/data/catalog/run_overheads.json");
  EXPECT_TRUE(table.ok()) << table.error().message;
  return std::move(table).value();
}

TEST(RentalTableTest, TermsAreTheProvidersElseThoseOfAll) {
  const RentalTable table = installed();
  const RentalTerms aws = table.terms_of("aws:p3.16xlarge", "V100 SXM2", 8);
  EXPECT_EQ(aws.billing_step, Seconds(1));
  EXPECT_EQ(aws.billing_minimum, Seconds(60));
  EXPECT_THAT(aws.source, HasSubstr("AWS"));
  EXPECT_THAT(table.terms_of("unheard-of:x", "V100 SXM2", 8).source, HasSubstr("assumed"));
}

TEST(RentalTableTest, InterruptionsAreThoseOfTheTracedNodeElseAssumed) {
  const RentalTable table = installed();
  const auto traced = table.terms_of("aws:p3.16xlarge", "V100 SXM2", 8).interruptions;
  EXPECT_EQ(traced.evidence, Evidence::kCalibrated);
  // 317 intervals of two zones, available 33.07 and 34.14 % of 12.37 days.
  EXPECT_NEAR(traced.between.value() / 3600, (0.3307 + 0.3414) * 12.37 * 24 / 317, 0.002);
  const auto single = table.terms_of("aws:p3.2xlarge", "V100 SXM2", 1).interruptions;
  EXPECT_NEAR(single.between.value() / 3600, (0.6867 + 0.5952) * 12.37 * 24 / 179, 0.002);
  const auto other = table.terms_of("aws:p4d.24xlarge", "A100 SXM 40GB", 8).interruptions;
  EXPECT_EQ(other.evidence, Evidence::kAssumed);
  EXPECT_GT(other.spread, traced.spread) << "what was not traced is less sure";
}

}  // namespace
}  // namespace pluto
