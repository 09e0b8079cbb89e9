#include "cli/launcher.h"

#include <gtest/gtest.h>

namespace pluto {
namespace {

Launch shell(const std::string& script) {
  Launch launch;
  launch.program = "/bin/sh";
  launch.arguments = {"-c", script};
  return launch;
}

TEST(LauncherTest, EachLineOfJsonIsHeard) {
  std::vector<std::int64_t> heard;
  const auto result =
      launch_ranks(shell("echo '{\"n\": 1}'; echo '{\"n\": 2}'"),
                   [&](const Value& message) { heard.push_back(message.find("n")->as_integer()); });
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(heard, (std::vector<std::int64_t>{1, 2}));
}

TEST(LauncherTest, ARanksErrorIsReturnedWithItsCodeAndWords) {
  const auto result = launch_ranks(shell("echo '{\"error\": {\"code\": 0, \"message\": \"rank 1: "
                                         "no such file\", \"help\": \"look again\"}}'; exit 2"),
                                   [](const Value&) {});
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kInvalidInput);
  EXPECT_EQ(result.error().message, "rank 1: no such file");
  EXPECT_EQ(result.error().help, "look again");
}

TEST(LauncherTest, ADyingRankIsAWorkerErrorWithItsLastWords) {
  const auto result =
      launch_ranks(shell("echo 'cannot allocate 80 GiB' >&2; kill -9 $$"), [](const Value&) {});
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kWorker);
  EXPECT_NE(result.error().message.find("signal 9"), std::string::npos) << result.error().message;
  EXPECT_NE(result.error().message.find("cannot allocate 80 GiB"), std::string::npos)
      << result.error().message;
}

TEST(LauncherTest, AMissingProgramIsADeviceError) {
  Launch launch;
  launch.program = "/no/such/program";
  const auto result = launch_ranks(launch, [](const Value&) {});
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kDevice);
  EXPECT_NE(result.error().message.find("/no/such/program"), std::string::npos);
}

TEST(LauncherTest, ThreadsReachTheRank) {
  Launch launch = shell("echo \"{\\\"threads\\\": $OMP_NUM_THREADS}\"");
  launch.threads_per_rank = 3;
  std::int64_t threads = 0;
  ASSERT_TRUE(launch_ranks(launch, [&](const Value& message) {
                threads = message.find("threads")->as_integer();
              }).ok());
  EXPECT_EQ(threads, 3);
}

TEST(LauncherTest, LinesThatAreNoJsonDoNotHurt) {
  int heard = 0;
  const auto result =
      launch_ranks(shell("echo plain words; echo '{\"n\": 1}'"), [&](const Value&) { ++heard; });
  EXPECT_TRUE(result.ok());
  EXPECT_EQ(heard, 1);
}

}  // namespace
}  // namespace pluto
