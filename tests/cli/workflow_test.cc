#include "cli/workflow.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/temporary_folder.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;

const std::string kData = PLUTO_SOURCE_DIR "/data";

std::string why(const TrainingJob& job) {
  const auto catalog = Catalog::load(kData + "/catalog").value();
  const auto places = candidates(job, Host{}, catalog);
  return places.ok() ? "ok" : places.error().message;
}

TEST(WorkflowTest, ThisMachineTrainsInFp32WithItsOwnAttention) {
  TrainingJob job;
  EXPECT_EQ(why(job), "ok");
  job.precision = TrainPrecision::kBf16;
  EXPECT_THAT(why(job), HasSubstr("precision: this machine trains in fp32, not bf16"));
  job.instances = {"aws:p4d.24xlarge"};
  EXPECT_EQ(why(job), "ok");
  job.precision = TrainPrecision::kF32;
  job.attention = AttentionKernel::kScores;
  EXPECT_EQ(why(job), "ok");
  job.instances = {"local"};
  EXPECT_THAT(why(job), HasSubstr("attention: this machine has a kernel of its own"));
  job.instances = {"aws:nothing"};
  EXPECT_THAT(why(job), HasSubstr("aws:nothing"));
}

TEST(WorkflowTest, TheSimulatorPricesAllButEightBits) {
  const testing::TemporaryFolder folder;
  const auto store = Store::open(folder.file("profiles.db"));
  ASSERT_TRUE(store.ok());
  Session session;
  session.data_folder = kData;
  const auto costs = [&](TrainPrecision precision) {
    return load_costs(session, Host{}, **store, precision, AttentionKernel::kFlash);
  };
  EXPECT_TRUE(costs(TrainPrecision::kF32).ok());
  EXPECT_TRUE(costs(TrainPrecision::kTf32).ok());
  EXPECT_TRUE(costs(TrainPrecision::kFp16).ok());
  EXPECT_TRUE(costs(TrainPrecision::kBf16).ok());
  const auto eight = costs(TrainPrecision::kFp8);
  ASSERT_FALSE(eight.ok());
  EXPECT_EQ(eight.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(eight.error().message, HasSubstr("not fp8"));
}

}  // namespace
}  // namespace pluto
