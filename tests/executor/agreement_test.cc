#include "executor/agreement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <thread>

namespace pluto {
namespace {

using ::testing::HasSubstr;

void on_ranks(int ranks, const std::function<void(Communicator&)>& body) {
  const auto communicators = make_in_process_communicators(ranks);
  std::vector<std::jthread> threads;
  for (const auto& communicator : communicators) {
    threads.emplace_back([&body, &communicator] { body(*communicator); });
  }
}

TEST(AgreementTest, EveryRankSeesEveryCheckInRankOrder) {
  on_ranks(3, [](Communicator& communicator) {
    Check own;
    own.loss_sum = communicator.rank() + 0.5;
    own.stop = communicator.rank() == 1 ? 1 : 0;
    const auto checks = exchange_checks(communicator, own);
    ASSERT_TRUE(checks.ok());
    ASSERT_EQ(checks->size(), 3U);
    for (std::size_t rank = 0; rank < 3; ++rank) {
      EXPECT_EQ((*checks)[rank].loss_sum, static_cast<double>(rank) + 0.5);
      EXPECT_EQ((*checks)[rank].stop, rank == 1 ? 1 : 0);
    }
  });
}

TEST(AgreementTest, AFailureOfOneRankIsAFailureOfAll) {
  on_ranks(3, [](Communicator& communicator) {
    EXPECT_TRUE(agree(communicator, {}).ok());
    const bool failing = communicator.rank() == 2;
    const auto agreed =
        agree(communicator, failing ? Result<void>(io_error("disk")) : Result<void>());
    ASSERT_FALSE(agreed.ok());
    EXPECT_EQ(agreed.error().code, failing ? ErrorCode::kIo : ErrorCode::kWorker);
    EXPECT_THAT(agreed.error().message, HasSubstr(failing ? "disk" : "rank 2 failed"));
  });
}

TEST(GuardsTest, TheVerdictLooksAhead) {
  const Guards guards{Dollars(10), Seconds(7200), DollarsPerHour(6)};  // 6000 s of money
  EXPECT_EQ(guards.verdict(Seconds(5000), Seconds(900)), RunEnd::kFinished);
  EXPECT_EQ(guards.verdict(Seconds(5000), Seconds(1001)), RunEnd::kBudget);
  EXPECT_EQ(guards.verdict(Seconds(6001), Seconds(0)), RunEnd::kBudget);
  const Guards late{std::nullopt, Seconds(100), DollarsPerHour(6)};
  EXPECT_EQ(late.verdict(Seconds(90), Seconds(10)), RunEnd::kFinished);
  EXPECT_EQ(late.verdict(Seconds(90), Seconds(11)), RunEnd::kDeadline);
  EXPECT_EQ(Guards{}.verdict(Seconds(1e9), Seconds(1e9)), RunEnd::kFinished);
}

}  // namespace
}  // namespace pluto
