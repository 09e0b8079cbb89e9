#include "plan/strategy.h"

#include <gmock/gmock.h>

namespace pluto {
namespace {

using ::testing::HasSubstr;

TEST(StrategyTest, WordsReadBack) {
  for (const auto one : {TrainPrecision::kF32, TrainPrecision::kTf32, TrainPrecision::kFp16,
                         TrainPrecision::kBf16, TrainPrecision::kFp8}) {
    EXPECT_EQ(*parse_train_precision(to_text(one)), one);
  }
  for (const auto one :
       {AttentionKernel::kScores, AttentionKernel::kFlash, AttentionKernel::kFlash2}) {
    EXPECT_EQ(*parse_attention_kernel(to_text(one)), one);
  }
  for (const auto one :
       {CollectiveAlgorithm::kRing, CollectiveAlgorithm::kTree,
        CollectiveAlgorithm::kHalvingDoubling, CollectiveAlgorithm::kRecursiveDoubling,
        CollectiveAlgorithm::kHierarchical}) {
    EXPECT_EQ(*parse_collective_algorithm(to_text(one)), one);
  }
}

TEST(StrategyTest, UnknownWordsNameTheNearest) {
  EXPECT_THAT(parse_collective_algorithm("rings").error().help, HasSubstr("ring"));
  EXPECT_THAT(parse_train_precision("float16").error().help, HasSubstr("fp16"));
  EXPECT_THAT(parse_attention_kernel("flush").error().help, HasSubstr("flash"));
}

TEST(StrategyTest, RanksAreTheProductOfAllDegrees) { EXPECT_EQ((Layout{2, 3, 5, 7}).ranks(), 210); }

TEST(StrategyTest, OnlyTheProductsAreNarrowInTf32) {
  EXPECT_EQ(activation_bytes(TrainPrecision::kTf32), 4);
  EXPECT_EQ(activation_bytes(TrainPrecision::kBf16), 2);
}

}  // namespace
}  // namespace pluto
