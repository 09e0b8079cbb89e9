#include <gmock/gmock.h>

#include "tests/model/op_cases.h"

namespace pluto {
namespace {

using testing::ElementsAre;

const DType kIds = DType::kI32;

TEST(EmbeddingTest, AppendsTheWidthToTheIds) {
  const TensorType table = fixed({11, 5});
  EXPECT_THAT(infer(OpKind::kEmbedding, EmbeddingAttrs{11, 5}, {sample({6}, kIds), table}),
              ElementsAre(sample({6, 5})));
  EXPECT_THAT(infer(OpKind::kEmbedding, EmbeddingAttrs{11, 5}, {sample({}, kIds), table}),
              ElementsAre(sample({5})));
  EXPECT_THAT(infer(OpKind::kEmbedding, EmbeddingAttrs{11, 5}, {sample({2, 3}, kIds), table}),
              ElementsAre(sample({2, 3, 5})));
}

TEST(EmbeddingTest, ErrorsSayWhatIsWrong) {
  EXPECT_EQ(infer_error(OpKind::kEmbedding, EmbeddingAttrs{11, 5}, {sample({6}), fixed({11, 5})}),
            "operand 0 (ids) has element type f32, expected i32");
  EXPECT_EQ(
      infer_error(OpKind::kEmbedding, EmbeddingAttrs{12, 5}, {sample({6}, kIds), fixed({11, 5})}),
      "operand 1 (table) is 11x5, expected 12x5 (rows, width)");
  EXPECT_EQ(
      infer_error(OpKind::kEmbedding, EmbeddingAttrs{11, 5}, {sample({6}, kIds), sample({11, 5})}),
      "operand 1 (table) has a batch axis, expected none");
}

TEST(EmbeddingTest, ReadsOneRowPerIdButNoMoreThanTheTable) {
  const auto result = differentiate_case(
      {OpKind::kEmbedding, EmbeddingAttrs{11, 5}, {sample({6}, kIds), fixed({11, 5})}, {}});
  ASSERT_TRUE(result.ok());
  const Op& forward = result->graph.ops()[0];
  EXPECT_EQ(op_work(result->graph, forward, 1).read, Bytes(4 * (6 + 6 * 5)));
  EXPECT_EQ(op_work(result->graph, forward, 2).read, Bytes(4 * (12 + 11 * 5)));
  EXPECT_EQ(op_work(result->graph, forward, 2).written, Bytes(4 * 60));
  EXPECT_EQ(op_work(result->graph, forward, 2).flops, Flops(0));
  const Op& backward = result->graph.ops()[1];
  EXPECT_EQ(backward.name, "node.backward_weight");
  EXPECT_EQ(op_work(result->graph, backward, 2).flops, Flops(60));
  EXPECT_EQ(op_work(result->graph, backward, 2).written, Bytes(4 * 55));
}

TEST(EmbeddingBagTest, SumsTheRows) {
  const OpCase op_case{
      OpKind::kEmbeddingBag, EmbeddingAttrs{11, 5}, {sample({6}, kIds), fixed({11, 5})}, {}};
  EXPECT_THAT(infer(op_case.kind, op_case.attrs, op_case.inputs), ElementsAre(sample({5})));
  EXPECT_EQ(infer_error(op_case.kind, op_case.attrs, {sample({}, kIds), fixed({11, 5})}),
            "operand 0 (ids) is scalar, expected rank 1 (K)");
  const auto result = differentiate_case(op_case);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(op_work(result->graph, result->graph.ops()[0], 2).flops, Flops(60));
  EXPECT_EQ(op_work(result->graph, result->graph.ops()[1], 2).flops, Flops(60));
}

TEST(CosineSimilarityTest, YieldsOneNumberPerDocumentAndAllNorms) {
  EXPECT_THAT(infer(OpKind::kCosineSimilarity, ScaleAttrs{20}, {sample({5}), sample({4, 5})}),
              ElementsAre(sample({4}), sample({5})));
  EXPECT_EQ(infer_error(OpKind::kCosineSimilarity, ScaleAttrs{20}, {sample({5}), sample({4, 6})}),
            "operand 1 (d) is 4x6, expected 4x5 (N,D)");
}

TEST(CosineSimilarityTest, WorkIsDotsAndNorms) {
  const auto result = differentiate_case(
      {OpKind::kCosineSimilarity, ScaleAttrs{20}, {sample({5}), sample({4, 5})}, {}});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(op_work(result->graph, result->graph.ops()[0], 2).flops,
            Flops(2 * (4 * (4 * 5 + 4) + 10)));
  EXPECT_EQ(op_work(result->graph, result->graph.ops()[1], 2).flops, Flops(2 * (4 * 25 + 10)));
}

}  // namespace
}  // namespace pluto
