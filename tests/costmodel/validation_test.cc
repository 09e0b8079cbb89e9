#include "costmodel/validation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <tuple>

#include "tests/support/temporary_folder.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;

const std::string kData = std::string(PLUTO_SOURCE_DIR) + "/data";

ValidatedFamily validated(const std::string& name) {
  Validation validation(kData);
  auto family = validation.validate(name);
  EXPECT_TRUE(family.ok()) << family.error().message;
  return family.ok() ? *family : ValidatedFamily{};
}

// Loose enough to hold when surfaces are fitted again, tight enough to notice a lost term.
TEST(Validation, ErrorsOnPublishedStepsHold) {
  for (const auto& [name, median, p90] :
       {std::tuple("mxnet_2018", 0.10, 0.25), std::tuple("elasticflow", 0.10, 0.25),
        std::tuple("squad", 0.10, 0.25), std::tuple("bigscience", 0.15, 0.25)}) {
    const StepErrors errors = errors_of(validated(name).rows, false);
    EXPECT_GT(errors.relative.size(), 3U) << name;
    EXPECT_LE(errors.median, median) << name;
    EXPECT_LE(errors.p90, p90) << name;
  }
}

TEST(Validation, NothingThatRanOutOfMemoryIsAllowed) {
  const MemoryCheck squad = check_memory(validated("squad").rows);
  EXPECT_EQ(squad.failed, 4);
  EXPECT_EQ(squad.allowed, 0);
  EXPECT_EQ(squad.refused, 0);
  const MemoryCheck lambda = check_memory(validated("lambda_memory").rows);
  ASSERT_FALSE(lambda.errors.empty());
  for (const double error : lambda.errors) EXPECT_LT(error, 0.12);
}

TEST(Validation, EveryFamilyIsNamedOnceAndUnknownOnesAreRefused) {
  std::set<std::string> names;
  for (const auto& family : validation_families()) {
    EXPECT_TRUE(names.insert(family.name).second) << family.name;
    EXPECT_FALSE(family.about.empty());
  }
  Validation validation(kData);
  const auto wrong = validation.validate("megatrn");
  ASSERT_FALSE(wrong.ok());
  EXPECT_THAT(wrong.error().help, HasSubstr("megatron"));
}

TEST(Validation, PartsOfAStepAreFamiliesOfTheirOwnKind) {
  const ValidatedFamily collectives = validated("collectives");
  EXPECT_EQ(collectives.family.kind, ValidationFamily::Kind::kPart);
  EXPECT_GT(collectives.rows.size(), 1000U);
  EXPECT_EQ(validated("squad").family.kind, ValidationFamily::Kind::kTraining);
}

TEST(Validation, AFileOfOwnRowsIsAFamilyThatWasNeverSeen) {
  const testing::TemporaryFolder folder;
  const std::string path =
      folder.write("own.csv",
                   "model,machine,gpus,batch,precision,framework,step_s,comm_s\n"
                   "resnet50,dgx1-v100,8,64,fp32,mxnet-ngc,0.2,0.01\n"
                   "resnet50,dgx1-v100,1,64,fp32,mxnet-ngc,0.2,\n");
  const ValidatedFamily family = validated(path);
  ASSERT_EQ(family.rows.size(), 2U);
  for (const auto& row : family.rows) EXPECT_TRUE(row.held_out.has_value());
  ASSERT_TRUE(family.rows[0].comm.has_value());
  EXPECT_FALSE(family.rows[1].comm.has_value());
  EXPECT_EQ(comm_errors(family.rows).size(), 1U);
  EXPECT_FALSE(family.rows[0].fits.has_value()) << "the file says nothing about memory";
}

TEST(Validation, ChecksOfMemoryCountBothMistakes) {
  std::vector<ValidatedRow> rows(5);
  rows[0].fits = true;
  rows[1].fits = false;
  rows[2].fits = true;
  rows[2].ran = false;
  rows[3].fits = false;
  rows[3].ran = false;
  rows[4].memory = {Bytes(110), Bytes(100)};
  const MemoryCheck check = check_memory(rows);
  EXPECT_EQ(check.ran, 2);
  EXPECT_EQ(check.refused, 1);
  EXPECT_EQ(check.failed, 2);
  EXPECT_EQ(check.allowed, 1);
  ASSERT_EQ(check.errors.size(), 1U);
  EXPECT_NEAR(check.errors[0], 0.1, 1e-12);
}

}  // namespace
}  // namespace pluto
