#include <gmock/gmock.h>

#include "model/passes/recompute.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;

TEST(RecomputeModeTest, TextAndBack) {
  for (const auto one : {Recompute::kNone, Recompute::kSelective, Recompute::kFull}) {
    ASSERT_TRUE(parse_recompute(to_text(one)).ok());
    EXPECT_EQ(*parse_recompute(to_text(one)), one);
  }
  EXPECT_THAT(parse_recompute("all").error().help, HasSubstr("selective"));
}

}  // namespace
}  // namespace pluto
