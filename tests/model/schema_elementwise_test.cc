#include <gmock/gmock.h>

#include "tests/model/op_cases.h"

namespace pluto {
namespace {

using testing::ElementsAre;

TEST(ElementwiseTest, KeepsTheType) {
  for (OpKind kind :
       {OpKind::kRelu, OpKind::kGelu, OpKind::kSilu, OpKind::kSigmoid, OpKind::kTanh}) {
    EXPECT_THAT(infer(kind, NoAttrs{}, {sample({3, 5}, DType::kF16)}),
                ElementsAre(sample({3, 5}, DType::kF16)));
    EXPECT_EQ(infer_error(kind, NoAttrs{}, {sample({3}, DType::kI32)}),
              "operand 0 (x) has element type i32, expected f32, f16 or bf16");
    EXPECT_EQ(infer_error(kind, NoAttrs{}, {}), "0 operands, expected 1 (x)");
  }
}

TEST(ElementwiseTest, BackwardReadsTheOutputWhereThatIsEnough) {
  for (OpKind kind : {OpKind::kRelu, OpKind::kSigmoid, OpKind::kTanh}) {
    const auto result = differentiate_case({kind, NoAttrs{}, {sample({3, 5})}, {}});
    ASSERT_TRUE(result.ok());
    EXPECT_EQ(result->graph.ops()[1].inputs[1], result->graph.ops()[0].outputs[0]) << to_text(kind);
  }
  for (OpKind kind : {OpKind::kGelu, OpKind::kSilu}) {
    const auto result = differentiate_case({kind, NoAttrs{}, {sample({3, 5})}, {}});
    EXPECT_EQ(result->graph.ops()[1].inputs[1], result->graph.ops()[0].inputs[0]) << to_text(kind);
  }
}

TEST(ElementwiseTest, FlopsPerElement) {
  const auto flops = [](OpKind kind, std::size_t op) {
    const auto result = differentiate_case({kind, default_attrs(kind), {sample({3, 5})}, {}});
    return op_work(result->graph, result->graph.ops()[op], 2).flops.value() / 30;
  };
  EXPECT_EQ(flops(OpKind::kRelu, 0), 1);
  EXPECT_EQ(flops(OpKind::kRelu, 1), 1);
  EXPECT_EQ(flops(OpKind::kGelu, 0), 9);
  EXPECT_EQ(flops(OpKind::kGelu, 1), 17);
  EXPECT_EQ(flops(OpKind::kSigmoid, 1), 3);
  EXPECT_EQ(flops(OpKind::kDropout, 1), 2);
}

TEST(DropoutTest, ProbabilityIsBelowOne) {
  EXPECT_EQ(infer_error(OpKind::kDropout, DropoutAttrs{1, 0}, {sample({3})}),
            "p is 1, expected 0 to below 1");
  EXPECT_EQ(infer_error(OpKind::kDropout, DropoutAttrs{0.5, -1}, {sample({3})}),
            "stream is -1, expected 0 to 4294967295");
  EXPECT_THAT(infer(OpKind::kDropout, DropoutAttrs{0, 4294967295}, {sample({3})}),
              ElementsAre(sample({3})));
}

TEST(DropoutTest, BackwardNeedsOnlyTheGradientAndItsStream) {
  const auto result =
      differentiate_case({OpKind::kDropout, DropoutAttrs{0.1, 7}, {sample({3})}, {}});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->graph.ops()[1].inputs.size(), 1u);
  EXPECT_EQ(std::get<DropoutAttrs>(result->graph.ops()[1].attrs).stream, 7);
}

TEST(AddTest, OperandsAreAlike) {
  EXPECT_EQ(infer_error(OpKind::kAdd, AddAttrs{}, {sample({3, 5}), sample({5})}),
            "operand 1 (b) is 5, expected 3x5 as operand 0 (a)");
  EXPECT_EQ(infer_error(OpKind::kMul, NoAttrs{}, {sample({5}), fixed({5})}),
            "operand 1 (b) has no batch axis, expected a batch axis as operand 0 (a)");
  EXPECT_THAT(infer(OpKind::kAdd, AddAttrs{}, {fixed({5}), fixed({5})}), ElementsAre(fixed({5})));
}

TEST(AddTest, GradientPassesThroughWithoutANode) {
  const OpCase op_case{OpKind::kAdd, AddAttrs{}, {sample({3}), sample({3})}, {}};
  const auto result = differentiate_case(op_case);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->graph.ops().size(), 1u);
  const TensorId dy = *result->graph.find_tensor("dy0");
  EXPECT_THAT(result->gradients, ElementsAre(dy, dy));
  const auto one = differentiate_case(op_case, {false, true}, {true});
  EXPECT_THAT(one->gradients, ElementsAre(std::nullopt, dy));
}

TEST(AddTest, FusedReluHasOneReluNodeForBoth) {
  const auto result =
      differentiate_case({OpKind::kAdd, AddAttrs{true}, {sample({3}), sample({3})}, {}});
  ASSERT_TRUE(result.ok());
  ASSERT_EQ(result->graph.ops().size(), 2u);
  const Op& node = result->graph.ops()[1];
  EXPECT_EQ(node.kind, OpKind::kRelu);
  EXPECT_EQ(node.pass, OpPass::kBackward);
  EXPECT_EQ(node.name, "node.backward");
  EXPECT_EQ(node.inputs[1], result->graph.ops()[0].outputs[0]);
  EXPECT_THAT(result->gradients, ElementsAre(node.outputs[0], node.outputs[0]));
  EXPECT_EQ(op_work(result->graph, result->graph.ops()[0], 2).flops, Flops(12));
}

TEST(MulTest, BackwardReadsBothOperands) {
  const auto result = differentiate_case({OpKind::kMul, NoAttrs{}, {sample({3}), sample({3})}, {}});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->graph.ops()[1].inputs.size(), 3u);
  EXPECT_EQ(result->graph.ops()[1].outputs.size(), 2u);
}

TEST(PositionAddTest, TableHasAtLeastAsManyRows) {
  EXPECT_THAT(infer(OpKind::kPositionAdd, NoAttrs{}, {sample({3, 5}), fixed({8, 5})}),
              ElementsAre(sample({3, 5})));
  EXPECT_EQ(
      infer_error(OpKind::kPositionAdd, NoAttrs{}, {sample({9, 5}), fixed({8, 5})}),
      "operand 1 (table) is 8x5, expected at least 9 positions of width 5 (positions, width)");
  EXPECT_EQ(infer_error(OpKind::kPositionAdd, NoAttrs{}, {sample({3, 5}), sample({8, 5})}),
            "operand 1 (table) has a batch axis, expected none");
}

TEST(PositionAddTest, DataGradientIsTheIncomingOne) {
  const auto result =
      differentiate_case({OpKind::kPositionAdd, NoAttrs{}, {sample({3, 5}), fixed({8, 5})}, {}});
  ASSERT_TRUE(result.ok());
  ASSERT_EQ(result->graph.ops().size(), 2u);
  EXPECT_EQ(result->graph.ops()[1].name, "node.backward_weight");
  EXPECT_EQ(result->gradients[0], result->graph.find_tensor("dy0"));
  EXPECT_EQ(result->graph.tensor(*result->gradients[1]).name, "p1.grad");
  // Three of eight rows are read; the gradient of the table is written in full.
  EXPECT_EQ(op_work(result->graph, result->graph.ops()[0], 2).read, Bytes(4 * (30 + 15)));
  EXPECT_EQ(op_work(result->graph, result->graph.ops()[1], 2).written, Bytes(4 * 40));
}

TEST(ElementwiseTest, OneOutputNodesMayOverwriteTheirInput) {
  const auto may = [](const OpCase& op_case, std::size_t op) {
    const auto result = differentiate_case(op_case);
    return may_overwrite(result->graph, result->graph.ops()[op]);
  };
  const OpCase relu{OpKind::kRelu, NoAttrs{}, {sample({3})}, {}};
  EXPECT_TRUE(may(relu, 0));
  EXPECT_TRUE(may(relu, 1));
  const OpCase mul{OpKind::kMul, NoAttrs{}, {sample({3}), sample({3})}, {}};
  EXPECT_TRUE(may(mul, 0));
  EXPECT_FALSE(may(mul, 1));  // two outputs
  const OpCase position{OpKind::kPositionAdd, NoAttrs{}, {sample({3, 5}), fixed({8, 5})}, {}};
  EXPECT_TRUE(may(position, 0));
  EXPECT_FALSE(may(position, 1));  // a table is no activation
  const OpCase loss{
      OpKind::kSoftmaxCrossEntropy, NoAttrs{}, {sample({6}), sample({}, DType::kI32)}, {}};
  EXPECT_FALSE(may(loss, 0));
  EXPECT_TRUE(may(loss, 1));
  const OpCase softmax{OpKind::kSoftmax, NoAttrs{}, {sample({3})}, {}};
  EXPECT_FALSE(may(softmax, 0));
}

}  // namespace
}  // namespace pluto
