#include <gmock/gmock.h>

#include "tests/model/op_cases.h"

namespace pluto {
namespace {

using testing::ElementsAre;

const DType kIds = DType::kI32;

TEST(CrossEntropyTest, LossIsOneNumberWithoutABatch) {
  EXPECT_THAT(infer(OpKind::kSoftmaxCrossEntropy, NoAttrs{}, {sample({1000}), sample({}, kIds)}),
              ElementsAre(fixed({}), sample({1000})));
  EXPECT_THAT(infer(OpKind::kSoftmaxCrossEntropy, NoAttrs{}, {sample({6, 11}), sample({6}, kIds)}),
              ElementsAre(fixed({}), sample({6, 11})));
}

TEST(CrossEntropyTest, ErrorsSayWhatIsWrong) {
  EXPECT_EQ(
      infer_error(OpKind::kSoftmaxCrossEntropy, NoAttrs{}, {sample({6, 11}), sample({7}, kIds)}),
      "operand 1 (labels) is 7, expected 6 (the logits' axes but the last)");
  EXPECT_EQ(infer_error(OpKind::kSoftmaxCrossEntropy, NoAttrs{}, {sample({6, 11}), sample({6})}),
            "operand 1 (labels) has element type f32, expected i32");
  EXPECT_EQ(
      infer_error(OpKind::kSoftmaxCrossEntropy, NoAttrs{}, {sample({6, 11}), fixed({6}, kIds)}),
      "operand 1 (labels) has no batch axis, expected a batch axis as operand 0 (logits)");
}

TEST(CrossEntropyTest, RuleStartsTheChain) {
  const auto result = differentiate_case(
      {OpKind::kSoftmaxCrossEntropy, NoAttrs{}, {sample({11}), sample({}, kIds)}, {}});
  ASSERT_TRUE(result.ok());
  const Op& forward = result->graph.ops()[0];
  const Op& backward = result->graph.ops()[1];
  EXPECT_THAT(backward.inputs, ElementsAre(forward.outputs[1], forward.inputs[1]));
  EXPECT_EQ(result->graph.tensor(backward.outputs[0]).type, sample({11}));
  EXPECT_FALSE(result->gradients[1].has_value());
  EXPECT_EQ(op_work(result->graph, forward, 3).flops, Flops(5 * 33));
  EXPECT_EQ(op_work(result->graph, backward, 3).flops, Flops(2 * 33));
}

TEST(LossTest, WhoReadsALossIsRefused) {
  for (const OpCase& op_case : op_cases()) {
    if (op_case.kind != OpKind::kMse && op_case.kind != OpKind::kSoftmaxCrossEntropy) continue;
    const auto outputs = infer(op_case.kind, op_case.attrs, op_case.inputs);
    std::vector<bool> arriving(outputs.size());
    arriving.back() = true;
    const auto result = differentiate_case(op_case, {true, false}, arriving);
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().code, ErrorCode::kUnsupported);
    EXPECT_THAT(result.error().message, testing::HasSubstr("a loss must be the end of the model"));
  }
}

TEST(ElementwiseLossTest, TargetIsLikeTheInput) {
  for (OpKind kind : {OpKind::kBceWithLogits, OpKind::kMse}) {
    EXPECT_THAT(infer(kind, NoAttrs{}, {sample({5}), sample({5})}), ElementsAre(fixed({})));
    EXPECT_EQ(infer_error(kind, NoAttrs{}, {sample({5}), sample({4})}),
              "operand 1 (target) is 4, expected 5 (as operand 0 (x))");
    EXPECT_EQ(infer_error(kind, NoAttrs{}, {sample({5}), sample({5}, kIds)}),
              "operand 1 (target) has element type i32, expected f32");
    const auto result = differentiate_case({kind, NoAttrs{}, {sample({5}), sample({5})}, {}});
    ASSERT_TRUE(result.ok());
    EXPECT_EQ(result->graph.ops()[1].inputs, result->graph.ops()[0].inputs);
    EXPECT_FALSE(result->gradients[1].has_value());
  }
}

}  // namespace
}  // namespace pluto
