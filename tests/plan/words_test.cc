#include "plan/words.h"

#include <gtest/gtest.h>

namespace pluto {
namespace {

enum class Fruit { kApple, kPear };
constexpr std::array<Word<Fruit>, 2> kFruits = {{{Fruit::kApple, "apple"}, {Fruit::kPear, "pear"}}};

TEST(WordsTest, EveryWordReadsBack) {
  for (const auto& word : kFruits) {
    EXPECT_EQ(*parse_word(kFruits, "fruit", word_of(kFruits, word.value)), word.value);
  }
}

TEST(WordsTest, TypingErrorGetsTheNearestWord) {
  const auto fruit = parse_word(kFruits, "fruit", "appel");
  ASSERT_FALSE(fruit.ok());
  EXPECT_EQ(fruit.error().message, "unknown fruit \"appel\"");
  EXPECT_EQ(fruit.error().help, "did you mean \"apple\"?");
}

TEST(WordsTest, OtherWordsGetTheList) {
  const auto fruit = parse_word(kFruits, "fruit", "stone");
  ASSERT_FALSE(fruit.ok());
  EXPECT_EQ(fruit.error().help, "one of apple, pear");
}

}  // namespace
}  // namespace pluto
