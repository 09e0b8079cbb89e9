#include "base/check.h"

#include <gtest/gtest.h>

namespace {

TEST(CheckTest, TrueConditionPasses) {
  PLUTO_CHECK(1 + 1 == 2, "arithmetic");
  SUCCEED();
}

TEST(CheckTest, ConditionIsEvaluatedOnce) {
  int evaluations = 0;
  PLUTO_CHECK(++evaluations > 0, "counter");
  EXPECT_EQ(evaluations, 1);
}

TEST(CheckDeathTest, FalseConditionAbortsAndSaysWhere) {
  EXPECT_DEATH(PLUTO_CHECK(1 == 2, "arithmetic"),
               "check_test.cc:[0-9]+: check failed: 1 == 2 \\(arithmetic\\)");
}

}  // namespace
