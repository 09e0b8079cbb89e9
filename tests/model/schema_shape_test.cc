#include <gmock/gmock.h>

#include "tests/model/op_cases.h"

namespace pluto {
namespace {

using testing::ElementsAre;

TEST(ConcatTest, AddsUpOneAxis) {
  EXPECT_THAT(infer(OpKind::kConcat, AxisAttrs{0},
                    {sample({64, 28, 28}), sample({128, 28, 28}), sample({32, 28, 28})}),
              ElementsAre(sample({224, 28, 28})));
  EXPECT_THAT(infer(OpKind::kConcat, AxisAttrs{1}, {sample({3, 5})}), ElementsAre(sample({3, 5})));
}

TEST(ConcatTest, ErrorsSayWhatIsWrong) {
  EXPECT_EQ(infer_error(OpKind::kConcat, AxisAttrs{0}, {}),
            "0 operands, expected 1 or more (x0, x1, ...)");
  EXPECT_EQ(infer_error(OpKind::kConcat, AxisAttrs{2}, {sample({3, 5})}),
            "axis is 2, but operand 0 is 3x5 of rank 2 (the batch axis does not count)");
  EXPECT_EQ(infer_error(OpKind::kConcat, AxisAttrs{0}, {sample({3, 5}), sample({3, 6})}),
            "operand 1 (x) is 3x6, expected 3x5 as operand 0 but for axis 0");
  EXPECT_EQ(infer_error(OpKind::kConcat, AxisAttrs{0}, {sample({3, 5}), sample({3})}),
            "operand 1 (x) is 3, expected 3x5 as operand 0 but for axis 0");
}

TEST(ConcatTest, GradientIsASplit) {
  const OpCase op_case{OpKind::kConcat, AxisAttrs{1}, {sample({3, 5}), sample({3, 2})}, {}};
  const auto result = differentiate_case(op_case);
  ASSERT_TRUE(result.ok());
  ASSERT_EQ(result->graph.ops().size(), 2u);
  EXPECT_EQ(result->graph.ops()[1].kind, OpKind::kSplit);
  EXPECT_EQ(result->graph.ops()[1].pass, OpPass::kForward);
  EXPECT_EQ(result->graph.ops()[1].attrs, OpAttrs(SplitAttrs{1, {5, 2}}));
}

TEST(ConcatTest, OneWantedGradientIsASlice) {
  const OpCase op_case{
      OpKind::kConcat, AxisAttrs{1}, {sample({3, 5}), sample({3, 2}), sample({3, 4})}, {}};
  const auto result = differentiate_case(op_case, {false, true, false}, {true});
  ASSERT_TRUE(result.ok());
  ASSERT_EQ(result->graph.ops().size(), 2u);
  EXPECT_EQ(result->graph.ops()[1].name, "node.backward_1");
  EXPECT_EQ(result->graph.ops()[1].attrs, OpAttrs(SliceAttrs{1, 5, 2}));
  EXPECT_EQ(result->graph.ops()[1].pass, OpPass::kForward);
  EXPECT_FALSE(result->gradients[0].has_value());
  EXPECT_EQ(result->graph.tensor(*result->gradients[1]).type, sample({3, 2}));
}

TEST(SplitTest, SizesFillTheAxis) {
  EXPECT_THAT(infer(OpKind::kSplit, SplitAttrs{1, {2, 3}}, {sample({3, 5})}),
              ElementsAre(sample({3, 2}), sample({3, 3})));
  EXPECT_EQ(infer_error(OpKind::kSplit, SplitAttrs{1, {2, 2}}, {sample({3, 5})}),
            "sizes 2+2 do not add up to axis 1 of operand 0 (x), 3x5");
  EXPECT_EQ(
      infer_error(OpKind::kSplit, SplitAttrs{1, {kMaxElements, kMaxElements}}, {sample({3, 5})}),
      "sizes 281474976710656+281474976710656 do not add up to axis 1 of operand 0 (x), 3x5");
  EXPECT_EQ(infer_error(OpKind::kSplit, SplitAttrs{1, {5, 0}}, {sample({3, 5})}),
            "a size is 0, expected 1 to 281474976710656");
  EXPECT_EQ(infer_error(OpKind::kSplit, SplitAttrs{1, {}}, {sample({3, 5})}),
            "sizes is empty, expected one per output");
}

TEST(SplitTest, GradientIsAConcat) {
  const auto result = differentiate_case(
      {OpKind::kSplit, SplitAttrs{1, {2, 1, 2}}, {sample({3, 5})}, {}}, {true}, {true, true, true});
  ASSERT_TRUE(result.ok());
  ASSERT_EQ(result->graph.ops().size(), 2u);
  EXPECT_EQ(result->graph.ops()[1].kind, OpKind::kConcat);
  EXPECT_EQ(result->graph.ops()[1].attrs, OpAttrs(AxisAttrs{1}));
}

TEST(SplitTest, MissingGradientsAreZero) {
  const OpCase op_case{OpKind::kSplit, SplitAttrs{1, {2, 1, 2}}, {sample({3, 5})}, {}};
  const auto one = differentiate_case(op_case, {true}, {false, true, false});
  ASSERT_TRUE(one.ok());
  ASSERT_EQ(one->graph.ops().size(), 2u);
  EXPECT_EQ(one->graph.ops()[1].kind, OpKind::kSlice);
  EXPECT_EQ(one->graph.ops()[1].pass, OpPass::kBackward);
  EXPECT_EQ(one->graph.ops()[1].attrs, OpAttrs(SliceAttrs{1, 2, 1}));
  EXPECT_EQ(one->graph.tensor(*one->gradients[0]).type, sample({3, 5}));

  const auto two = differentiate_case(op_case, {true}, {true, false, true});
  ASSERT_TRUE(two.ok()) << two.error().message;
  ASSERT_EQ(two->graph.ops().size(), 4u);
  EXPECT_EQ(two->graph.ops()[2].attrs, OpAttrs(SliceAttrs{1, 3, 2}));
  EXPECT_EQ(two->graph.ops()[3].kind, OpKind::kAdd);
  EXPECT_EQ(two->graph.ops()[3].name, "node.backward_sum_2");
  EXPECT_EQ(two->gradients[0], two->graph.ops()[3].outputs[0]);

  const OpCase four{OpKind::kSplit, SplitAttrs{0, {1, 1, 1, 1}}, {sample({4})}, {}};
  const auto three = differentiate_case(four, {true}, {true, true, false, true});
  ASSERT_TRUE(three.ok()) << three.error().message;
  EXPECT_EQ(three->graph.ops().size(), 6u);  // split, three slices, two adds
  EXPECT_EQ(three->gradients[0], three->graph.ops()[5].outputs[0]);

  const auto none = differentiate_case(op_case, {true}, {false, false, false});
  EXPECT_EQ(none->graph.ops().size(), 1u);
  EXPECT_FALSE(none->gradients[0].has_value());
}

TEST(SliceTest, LiesWithinItsAxis) {
  EXPECT_THAT(infer(OpKind::kSlice, SliceAttrs{0, 2, 1}, {sample({3, 5})}),
              ElementsAre(sample({1, 5})));
  const char* outside = "slice of 2 from 2 does not lie in axis 0 of operand 0 (x), 3x5";
  EXPECT_EQ(infer_error(OpKind::kSlice, SliceAttrs{0, 2, 2}, {sample({3, 5})}), outside);
  const std::int64_t huge = std::numeric_limits<std::int64_t>::max();
  EXPECT_NE(infer_error(OpKind::kSlice, SliceAttrs{0, huge, huge}, {sample({3, 5})}), "no error");
  EXPECT_NE(infer_error(OpKind::kSlice, SliceAttrs{0, 1, huge}, {sample({3, 5})}), "no error");
  EXPECT_NE(infer_error(OpKind::kSlice, SliceAttrs{0, -1, 1}, {sample({3, 5})}), "no error");
  EXPECT_NE(infer_error(OpKind::kSlice, SliceAttrs{0, 0, 0}, {sample({3, 5})}), "no error");
}

TEST(SliceTest, ReadsWhatItKeepsAndWritesTheZeros) {
  const auto result =
      differentiate_case({OpKind::kSlice, SliceAttrs{0, 1, 1}, {sample({3, 5})}, {}});
  ASSERT_TRUE(result.ok());
  const OpWork forward = op_work(result->graph, result->graph.ops()[0], 2);
  EXPECT_EQ(forward.read, Bytes(40));
  EXPECT_EQ(forward.written, Bytes(40));
  const OpWork backward = op_work(result->graph, result->graph.ops()[1], 2);
  EXPECT_EQ(backward.read, Bytes(40));
  EXPECT_EQ(backward.written, Bytes(120));
}

TEST(ReshapeTest, KeepsTheElementsAndCostsNothing) {
  EXPECT_THAT(infer(OpKind::kReshape, ReshapeAttrs{{15}}, {sample({3, 5})}),
              ElementsAre(sample({15})));
  EXPECT_THAT(infer(OpKind::kReshape, ReshapeAttrs{{}}, {sample({1})}), ElementsAre(sample({})));
  EXPECT_EQ(infer_error(OpKind::kReshape, ReshapeAttrs{{4, 4}}, {sample({3, 5})}),
            "operand 0 (x) is 3x5, expected as many elements as the new shape 4x4");
  EXPECT_EQ(infer_error(OpKind::kReshape, ReshapeAttrs{{-3, -5}}, {sample({3, 5})}),
            "shape -3x-5 has dimension -3, expected at least 1");
  const auto result =
      differentiate_case({OpKind::kReshape, ReshapeAttrs{{15}}, {sample({3, 5})}, {}});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->graph.ops()[1].attrs, OpAttrs(ReshapeAttrs{{3, 5}}));
  EXPECT_EQ(op_work(result->graph, result->graph.ops()[0], 2).read, Bytes(0));
  EXPECT_EQ(schema_of(OpKind::kReshape).alias, OpSchema::Alias::kSameBytes);
}

TEST(TransposeTest, MovesAxesAndBack) {
  const OpCase op_case{OpKind::kTranspose, TransposeAttrs{{2, 0, 1}}, {sample({3, 5, 2})}, {}};
  EXPECT_THAT(infer(op_case.kind, op_case.attrs, op_case.inputs), ElementsAre(sample({2, 3, 5})));
  const auto result = differentiate_case(op_case);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->graph.ops()[1].attrs, OpAttrs(TransposeAttrs{{1, 2, 0}}));
}

TEST(TransposeTest, RefusesWhatIsNoPermutation) {
  for (const auto& permutation :
       std::vector<std::vector<std::int64_t>>{{0}, {0, 0}, {0, 2}, {-1, 0}, {0, 1, 2}, {}}) {
    EXPECT_NE(infer_error(OpKind::kTranspose, TransposeAttrs{permutation}, {sample({3, 5})}),
              "no error");
  }
  EXPECT_EQ(infer_error(OpKind::kTranspose, TransposeAttrs{{0, 0}}, {sample({3, 5})}),
            "permutation 0,0 is none of the 2 axes of operand 0 (x), 3x5");
}

}  // namespace
}  // namespace pluto
