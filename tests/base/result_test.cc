#include "base/result.h"

#include <gtest/gtest.h>

#include <memory>

namespace pluto {
namespace {

Result<int> half(int number) {
  if (number % 2 != 0)
    return invalid_input(std::to_string(number) + " is odd", "use an even number");
  return number / 2;
}

Result<int> quarter(int number) {
  PLUTO_ASSIGN(const int once, half(number));
  PLUTO_ASSIGN_AT("second half", const int twice, half(once));
  return twice;
}

Result<void> check_even(int number) {
  PLUTO_TRY_AT("number", half(number));
  PLUTO_TRY(half(number));
  return {};
}

TEST(ResultTest, HoldsAValueOrAnError) {
  EXPECT_TRUE(half(4).ok());
  EXPECT_TRUE(static_cast<bool>(half(4)));
  EXPECT_EQ(*half(4), 2);
  ASSERT_FALSE(half(3).ok());
  EXPECT_EQ(half(3).error().code, ErrorCode::kInvalidInput);
  EXPECT_EQ(half(3).error().message, "3 is odd");
  EXPECT_EQ(half(3).error().help, "use an even number");
}

TEST(ResultTest, AssignPassesTheErrorUnchanged) {
  EXPECT_EQ(quarter(3).error().message, "3 is odd");
}

TEST(ResultTest, AssignAtPutsTheContextInFrontAndKeepsCodeAndHelp) {
  const Result<int> result = quarter(6);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().message, "second half: 3 is odd");
  EXPECT_EQ(result.error().code, ErrorCode::kInvalidInput);
  EXPECT_EQ(result.error().help, "use an even number");
  EXPECT_EQ(*quarter(8), 2);
}

TEST(ResultTest, TryReturnsOnError) {
  EXPECT_TRUE(check_even(2).ok());
  EXPECT_EQ(check_even(5).error().message, "number: 5 is odd");
}

TEST(ResultTest, MoveOnlyValuesPass) {
  Result<std::unique_ptr<int>> result = std::make_unique<int>(7);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(**result, 7);
  const std::unique_ptr<int> owned = std::move(result).value();
  EXPECT_EQ(*owned, 7);
}

TEST(ResultTest, EachMakerHasItsCode) {
  EXPECT_EQ(not_found("x").code, ErrorCode::kNotFound);
  EXPECT_EQ(unsupported("x").code, ErrorCode::kUnsupported);
  EXPECT_EQ(io_error("x").code, ErrorCode::kIo);
  EXPECT_EQ(device_error("x").code, ErrorCode::kDevice);
  EXPECT_EQ(worker_error("x").code, ErrorCode::kWorker);
  EXPECT_EQ(internal_error("x").code, ErrorCode::kInternal);
}

}  // namespace
}  // namespace pluto
