#include "model/passes/shard_vocabulary.h"

#include <gtest/gtest.h>

#include "tests/support/block_models.h"
#include "tests/support/toy_models.h"

namespace pluto {
namespace {

using testing::checked;

std::optional<Vocabulary> found(const ModelGraph& model, int ranks) {
  const auto blocks = find_tensor_blocks(model, ranks);
  EXPECT_TRUE(blocks.ok());
  return blocks ? find_vocabulary(model, *blocks, ranks) : std::nullopt;
}

std::int64_t rows_of(const ModelGraph& model, const Vocabulary& vocabulary,
                     const std::string& name) {
  const auto cut = vocabulary.parameters.find(*model.graph.find_tensor(name));
  return cut == vocabulary.parameters.end() ? 0 : cut->second.pieces.at(0);
}

TEST(ShardVocabularyTest, FindsATiedTable) {
  const ModelGraph model = testing::tiny_gpt(1, 4, 8);
  const auto vocabulary = found(model, 2);
  ASSERT_TRUE(vocabulary);
  EXPECT_EQ(model.graph.op(vocabulary->head).name, "head");
  EXPECT_EQ(vocabulary->lookups.size(), 1u);
  EXPECT_EQ(vocabulary->parameters.size(), 1u);
  EXPECT_EQ(rows_of(model, *vocabulary, "wte"), 8);
}

TEST(ShardVocabularyTest, FindsTheBiasAndNotTheTokenTypes) {
  const ModelGraph model = testing::tiny_bert(8);
  const auto vocabulary = found(model, 2);
  ASSERT_TRUE(vocabulary);
  EXPECT_EQ(vocabulary->lookups.size(), 1u);
  EXPECT_EQ(rows_of(model, *vocabulary, "word_embeddings"), 8);
  EXPECT_EQ(rows_of(model, *vocabulary, "head.bias"), 8);
  EXPECT_EQ(rows_of(model, *vocabulary, "type_embeddings"), 0);
}

TEST(ShardVocabularyTest, FindsTwoTables) {
  DecoderConfig config = testing::tiny_decoder_config();
  config.vocabulary = 8;
  const auto vocabulary = found(checked(build_decoder(config)), 2);
  ASSERT_TRUE(vocabulary);
  EXPECT_EQ(vocabulary->parameters.size(), 2u);
}

TEST(ShardVocabularyTest, LeavesWhatIsNoneOrDoesNotDivide) {
  EXPECT_FALSE(found(testing::tiny_gpt(1, 4, 7), 2));
  EXPECT_FALSE(found(testing::tiny_gpt(1, 4, 6), 4));
  // Classes of images are no vocabulary.
  EXPECT_FALSE(found(testing::tiny_convnet(), 2));
}

}  // namespace
}  // namespace pluto
