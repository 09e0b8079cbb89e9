#include "profiler/agreement.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace pluto {
namespace {

TEST(AgreementTest, WithoutPeersOnesOwnWishHolds) {
  EXPECT_TRUE(start_together(nullptr).ok());
  EXPECT_TRUE(*leader_decides(nullptr, true));
  EXPECT_FALSE(*leader_decides(nullptr, false));
}

TEST(AgreementTest, EveryRankFollowsTheLeader) {
  auto ranks = make_in_process_communicators(3);
  for (const bool wish : {true, false}) {
    std::vector<int> decided(3, -1);
    {
      std::vector<std::jthread> threads;
      for (int r = 0; r < 3; ++r) {
        threads.emplace_back([&, r] {
          const auto rank = static_cast<std::size_t>(r);
          auto decision = leader_decides(ranks[rank].get(), r == 0 ? wish : !wish);
          decided[rank] = decision.ok() && *decision ? 1 : 0;
        });
      }
    }
    EXPECT_EQ(decided, std::vector<int>(3, wish ? 1 : 0));
  }
}

}  // namespace
}  // namespace pluto
