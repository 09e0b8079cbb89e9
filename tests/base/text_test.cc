#include "base/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pluto {
namespace {

using ::testing::ElementsAre;

TEST(TextTest, NearestWordFindsTypingErrors) {
  const std::vector<std::string> words = {"budget", "deadline", "model"};
  EXPECT_EQ(nearest_word("dedline", words), "deadline");
  EXPECT_EQ(nearest_word("bugdet", words), "budget");
  EXPECT_EQ(nearest_word("modle", words), "model");
  EXPECT_EQ(nearest_word("models", words), "model");
  EXPECT_EQ(nearest_word("model", words), "model");
}

TEST(TextTest, NearestWordLeavesOtherWordsAlone) {
  EXPECT_EQ(nearest_word("colour", {"budget", "deadline"}), std::nullopt);
  EXPECT_EQ(nearest_word("x", {"y"}), std::nullopt);
  EXPECT_EQ(nearest_word("", {"y"}), std::nullopt);
  EXPECT_EQ(nearest_word("model", {}), std::nullopt);
}

TEST(TextTest, NearestWordPrefersTheNearer) {
  EXPECT_EQ(nearest_word("micro_batc", {"macro_batch", "micro_batch"}), "micro_batch");
  EXPECT_EQ(nearest_word("bat", {"cat", "rat"}), "cat") << "the first of equals";
}

TEST(TextTest, SplitKeepsEmptyPieces) {
  EXPECT_THAT(split("a,,b,", ','), ElementsAre("a", "", "b", ""));
  EXPECT_THAT(split("", ','), ElementsAre(""));
  EXPECT_THAT(split("abc", ','), ElementsAre("abc"));
}

TEST(TextTest, TrimTakesBlanksOffBothEnds) {
  EXPECT_EQ(trim(" \t a b\r\n"), "a b");
  EXPECT_EQ(trim(" \n"), "");
  EXPECT_EQ(trim(""), "");
}

TEST(TextTest, NumbersAreTheWholeTextAndFinite) {
  EXPECT_EQ(parse_number("-1.5e3"), -1500.0);
  EXPECT_EQ(parse_number("7"), 7.0);
  for (const char* text : {"", "-", "1 ", " 1", "1x", "inf", "nan", "0x10", "+1", "1e999", "1,5"}) {
    EXPECT_EQ(parse_number(text), std::nullopt) << text;
  }
  EXPECT_EQ(parse_integer("-42"), -42);
  for (const char* text : {"", "1.0", "1e3", "9223372036854775808", "4 "}) {
    EXPECT_EQ(parse_integer(text), std::nullopt) << text;
  }
}

TEST(TextTest, TableAlignsNumbersRightAndWordsLeft) {
  EXPECT_EQ(
      format_table(
          {{"gpu", "price", "memory"}, {"A100", "$1.5", "80.0 GiB"}, {"RTX 4090", "$10.25", "-"}}),
      "gpu        price    memory\n"
      "A100        $1.5  80.0 GiB\n"
      "RTX 4090  $10.25         -\n");
}

TEST(TextTest, TableColumnWithOneWordIsText) {
  EXPECT_EQ(format_table({{"x", "y"}, {"1", "22"}, {"none", "3"}}),
            "x      y\n1     22\nnone   3\n");
}

TEST(TextTest, TableNamesWithDigitsAreText) {
  EXPECT_EQ(format_table({{"cluster"}, {"8xA100"}, {"16xA100"}}), "cluster\n8xA100\n16xA100\n");
}

TEST(TextTest, TableCountsCharactersNotBytes) {
  EXPECT_EQ(format_table({{"a", "b"}, {"\u00e9\u00e9", "x"}, {"yyy", "x"}}),
            "a    b\n\u00e9\u00e9   x\nyyy  x\n");
}

TEST(TextTest, TableOfNothingIsEmptyAndRowsMayBeShort) {
  EXPECT_EQ(format_table({}), "");
  EXPECT_EQ(format_table({{"a", "b"}, {"x"}}), "a  b\nx\n");
}

}  // namespace
}  // namespace pluto
