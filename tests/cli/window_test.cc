#include "cli/window.h"

#include <gtest/gtest.h>

namespace pluto {
namespace {

TEST(WindowTest, AFileIsOfUsualWidth) {
  ::testing::internal::CaptureStdout();
  const int width = window_width();
  ::testing::internal::GetCapturedStdout();
  EXPECT_EQ(width, kPipedWidth);
}

TEST(WindowTest, TablesInAFileAreAsWideAsTheyAre) {
  ::testing::internal::CaptureStdout();
  const int width = table_width();
  ::testing::internal::GetCapturedStdout();
  EXPECT_EQ(width, 0);
}

}  // namespace
}  // namespace pluto
