#include "model/passes/shard_blocks.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/support/block_models.h"

namespace pluto {
namespace {

using testing::checked;

std::map<BlockRole, std::vector<std::string>> roles(const ModelGraph& model, int ranks) {
  const auto blocks = find_tensor_blocks(model, ranks);
  EXPECT_TRUE(blocks.ok()) << blocks.error().message;
  std::map<BlockRole, std::vector<std::string>> names;
  for (const Op& op : model.graph.ops()) {
    names[blocks->role[op.id.index()]].push_back(op.name);
  }
  return names;
}

using Names = std::vector<std::string>;

TEST(TensorBlocksTest, AttentionAndFeedForwardOfGpt) {
  const auto found = roles(testing::tiny_gpt(1), 2);
  EXPECT_EQ(found.at(BlockRole::kColumn), (Names{"h0.qkv", "h0.up"}));
  EXPECT_EQ(found.at(BlockRole::kRow), (Names{"h0.proj", "h0.down"}));
  EXPECT_EQ(found.at(BlockRole::kInner), (Names{"h0.split", "h0.attention", "h0.gelu"}));
}

TEST(TensorBlocksTest, SeveralLinearLayersBeginABlock) {
  DecoderConfig config = testing::tiny_decoder_config();
  config.layers = 1;
  config.head_norms = true;
  const auto found = roles(checked(build_decoder(config)), 2);
  EXPECT_EQ(found.at(BlockRole::kColumn),
            (Names{"layer0.q", "layer0.k", "layer0.v", "layer0.gate", "layer0.up"}));
  EXPECT_EQ(found.at(BlockRole::kRow), (Names{"layer0.o", "layer0.down"}));
}

TEST(TensorBlocksTest, ALayerThatNeedsAllFeaturesStaysWhole) {
  // head.transform runs into a norm, the head into the loss.
  const auto found = roles(testing::tiny_bert(), 2);
  EXPECT_EQ(found.at(BlockRole::kColumn), (Names{"layer0.qkv", "layer0.up"}));
}

TEST(TensorBlocksTest, LinearLayersOfAConvolutionalNetwork) {
  const auto found = roles(testing::tiny_convnet(true), 4);
  EXPECT_EQ(found.at(BlockRole::kColumn), (Names{"fc6"}));
  EXPECT_EQ(found.at(BlockRole::kInner), (Names{"relu6", "drop7"}));
  EXPECT_EQ(found.at(BlockRole::kRow), (Names{"fc7"}));
}

TEST(TensorBlocksTest, ReshapesCarryTheCutToHeads) {
  DecoderConfig config = testing::tiny_decoder_config();
  config.layers = 1;
  config.head_norms = true;
  const ModelGraph model = checked(build_decoder(config));
  const auto blocks = find_tensor_blocks(model, 2);
  ASSERT_TRUE(blocks.ok());
  const auto& heads = blocks->tensors.at(*model.graph.find_tensor("layer0.q.heads"));
  EXPECT_EQ(heads.axis, 1);
  EXPECT_EQ(heads.pieces, std::vector<std::int64_t>{4});
  const auto& joined = blocks->tensors.at(*model.graph.find_tensor("layer0.q.joined"));
  EXPECT_EQ(joined.axis, 1);
  EXPECT_EQ(joined.pieces, std::vector<std::int64_t>{16});
}

}  // namespace
}  // namespace pluto
