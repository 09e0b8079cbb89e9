#include "cli/price_plan.h"

#include <gtest/gtest.h>

#include "tests/support/sample_documents.h"
#include "tests/support/temporary_folder.h"

namespace pluto {
namespace {

TEST(PricePlanTest, AnotherModelThanThePlansIsRefused) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.path() + "/plan.json";
  const Plan plan = testing::sample_plan();
  ASSERT_TRUE(write_file(path, to_json(plan)).ok());
  Session session;
  session.database = folder.path() + "/profiles.db";
  session.data_folder = PLUTO_SOURCE_DIR "/data";
  const auto pricer = PlanPricer::open(session, path);
  ASSERT_FALSE(pricer.ok());
  EXPECT_NE(pricer.error().message.find("lenet is not the one this plan was made for"),
            std::string::npos)
      << pricer.error().message;
  EXPECT_NE(pricer.error().help.find("pluto-plan search"), std::string::npos);
}

TEST(PricePlanTest, WhatIsNoPlanIsSaidWithItsPlace) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.path() + "/plan.json";
  ASSERT_TRUE(write_file(path, "{\"schema\": 1}").ok());
  Session session;
  session.database = folder.path() + "/profiles.db";
  session.data_folder = PLUTO_SOURCE_DIR "/data";
  const auto pricer = PlanPricer::open(session, path);
  ASSERT_FALSE(pricer.ok());
  EXPECT_NE(pricer.error().message.find("plan.json"), std::string::npos);
  EXPECT_EQ(PlanPricer::open(session, folder.path() + "/none.json").error().code,
            ErrorCode::kNotFound);
}

}  // namespace
}  // namespace pluto
