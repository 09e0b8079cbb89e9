#include <gmock/gmock.h>

#include "model/passes/passes.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;

TEST(SyncMethodTest, TextAndBack) {
  for (const auto& [method, text] :
       {std::pair(SyncMethod::kNone, "none"), std::pair(SyncMethod::kAllReduce, "all_reduce"),
        std::pair(SyncMethod::kParameterServer, "parameter_server"),
        std::pair(SyncMethod::kSufficientFactor, "sufficient_factor"),
        std::pair(SyncMethod::kFactorServer, "factor_server"),
        std::pair(SyncMethod::kShard, "shard")}) {
    EXPECT_STREQ(to_text(method), text);
    const auto parsed = parse_sync_method(text);
    ASSERT_TRUE(parsed.ok());
    EXPECT_EQ(*parsed, method);
  }
}

TEST(SyncMethodTest, UnknownMethodsNameTheNearest) {
  const auto typo = parse_sync_method("allreduce");
  ASSERT_FALSE(typo.ok());
  EXPECT_EQ(typo.error().code, ErrorCode::kInvalidInput);
  EXPECT_THAT(typo.error().message, HasSubstr("'allreduce'"));
  EXPECT_THAT(typo.error().help, HasSubstr("all_reduce"));
  EXPECT_THAT(parse_sync_method("gossip").error().help, HasSubstr("sufficient_factor"));
}

}  // namespace
}  // namespace pluto
