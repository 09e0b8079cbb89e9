#include "model/passes/shard_writer.h"

#include <gtest/gtest.h>

#include "tests/support/toy_models.h"

namespace pluto {
namespace {

TEST(ShardWriterTest, CopiesAModelNodeByNode) {
  const ModelGraph model = testing::two_layers();
  ShardWriter writer(model, RankGroup::kTensor, 2, {});
  for (const Op& op : model.graph.ops()) writer.append(op);
  const auto copy = std::move(writer).finish();
  ASSERT_TRUE(copy.ok()) << copy.error().message;
  EXPECT_EQ(copy->graph.ops().size(), model.graph.ops().size());
  for (const Tensor& tensor : model.graph.tensors()) {
    const auto id = copy->graph.find_tensor(tensor.name);
    ASSERT_TRUE(id.has_value()) << tensor.name;
    EXPECT_EQ(copy->graph.tensor(*id).type, tensor.type);
    EXPECT_EQ(copy->graph.tensor(*id).role, tensor.role);
  }
  EXPECT_EQ(copy->graph.tensor(copy->loss).name, "loss");
  EXPECT_TRUE(copy->shards.empty());
}

TEST(ShardWriterTest, CutsParametersAndSaysSo) {
  const ModelGraph model = testing::two_layers();
  const TensorId weight = *model.graph.find_tensor("fc1.weight");
  ShardWriter writer(model, RankGroup::kData, 2, {{weight, {0, {6}}}});
  EXPECT_EQ(writer.type(writer.at(weight)).shape, (Shape{{3, 4}}));
}

TEST(ShardWriterTest, AsksForAnExchangeOnce) {
  const ModelGraph model = testing::two_layers();
  ShardWriter writer(model, RankGroup::kTensor, 2, {});
  const TensorId x = writer.at(model.inputs[0]);
  const TensorId copy = writer.exchange(OpKind::kGroupCopy, "x.copied", x);
  EXPECT_EQ(writer.exchange(OpKind::kGroupCopy, "x.copied", x), copy);
  EXPECT_NE(copy, x);
}

TEST(ShardWriterTest, NamesTheNodeThatNoLongerFits) {
  const ModelGraph model = testing::two_layers();
  ShardWriter writer(model, RankGroup::kData, 2,
                     {{*model.graph.find_tensor("fc1.weight"), {0, {6}}}});
  for (const Op& op : model.graph.ops()) writer.append(op);
  const auto copy = std::move(writer).finish();
  ASSERT_FALSE(copy.ok());
  EXPECT_EQ(copy.error().message.substr(0, 17), "node fc1 (linear)");
}

TEST(ShardWriterTest, ElementWiseKindsReadTheirOwnPlaceOnly) {
  EXPECT_TRUE(is_element_wise(OpKind::kGelu));
  EXPECT_TRUE(is_element_wise(OpKind::kDropout));
  EXPECT_FALSE(is_element_wise(OpKind::kSoftmax));
  EXPECT_FALSE(is_element_wise(OpKind::kLayerNorm));
  const ModelGraph model = testing::tied_layers();
  EXPECT_EQ(readers_of(model.graph, *model.graph.find_tensor("shared")), 2u);
}

}  // namespace
}  // namespace pluto
