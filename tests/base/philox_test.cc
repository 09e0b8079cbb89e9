#include "base/philox.h"

#include <gtest/gtest.h>

#include <cmath>

namespace pluto {
namespace {

using Words = std::array<std::uint32_t, 4>;

// Source: the known-answer file of Random123 (Salmon et al., SC 2011), philox4x32, 10 rounds.
TEST(PhiloxTest, KnownAnswersOfThePaper) {
  EXPECT_EQ(philox(0, {0, 0, 0, 0}), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox(~std::uint64_t{0}, {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox(0x299f31d0a4093822, {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(PhiloxTest, UniformTakesTheDocumentedWord) {
  constexpr std::uint64_t kIndex = (std::uint64_t{5} << 34) + 4 * 9 + 2;
  const Words block = philox(11, {9, 5, 3, 7});
  EXPECT_EQ(philox_uniform(11, 3, 7, kIndex), static_cast<float>(block[2] >> 8) / 16777216.0F);
}

TEST(PhiloxTest, NormalTakesTheDocumentedWords) {
  const Words block = philox(11, {9, 0, 3, 7});
  const double u = ((block[2] >> 8) + 1) / 16777216.0;
  const double v = (block[3] >> 8) / 16777216.0;
  EXPECT_FLOAT_EQ(philox_normal(11, 3, 7, 2 * 9 + 1),
                  static_cast<float>(std::sqrt(-2 * std::log(u)) * std::cos(2 * M_PI * v)));
}

TEST(PhiloxTest, UniformIsInRangeWithItsMeanAndVariance) {
  double sum = 0;
  double squares = 0;
  constexpr int kCount = 100'000;
  for (int i = 0; i < kCount; ++i) {
    const double u = philox_uniform(1, 2, 3, static_cast<std::uint64_t>(i));
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
    sum += u;
    squares += u * u;
  }
  const double mean = sum / kCount;
  EXPECT_NEAR(mean, 0.5, 0.005);
  EXPECT_NEAR(squares / kCount - mean * mean, 1.0 / 12, 0.002);
}

TEST(PhiloxTest, NormalIsFiniteWithItsMoments) {
  double sum = 0;
  double squares = 0;
  double neighbours = 0;
  double previous = 0;
  constexpr int kCount = 100'000;
  for (int i = 0; i < kCount; ++i) {
    const double x = philox_normal(1, 2, 3, static_cast<std::uint64_t>(i));
    ASSERT_TRUE(std::isfinite(x));
    sum += x;
    squares += x * x;
    neighbours += x * previous;
    previous = x;
  }
  EXPECT_NEAR(sum / kCount, 0, 0.02);
  EXPECT_NEAR(squares / kCount, 1, 0.03);
  EXPECT_NEAR(neighbours / kCount, 0, 0.02);
}

TEST(PhiloxTest, SeedStreamStepAndIndexEachChangeTheDraw) {
  const float draw = philox_uniform(1, 2, 3, 4);
  EXPECT_EQ(philox_uniform(1, 2, 3, 4), draw);
  EXPECT_NE(philox_uniform(2, 2, 3, 4), draw);
  EXPECT_NE(philox_uniform(1, 3, 3, 4), draw);
  EXPECT_NE(philox_uniform(1, 2, 4, 4), draw);
  EXPECT_NE(philox_uniform(1, 2, 3, 5), draw);
  EXPECT_NE(philox_uniform(1 + (std::uint64_t{1} << 32), 2, 3, 4), draw);
}

}  // namespace
}  // namespace pluto
