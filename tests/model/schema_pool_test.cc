#include <gmock/gmock.h>

#include "tests/model/op_cases.h"

namespace pluto {
namespace {

using testing::ElementsAre;

PoolAttrs pool(std::int64_t kernel, std::int64_t stride, std::int64_t pad, bool ceil_mode) {
  PoolAttrs a;
  a.kernel_h = a.kernel_w = kernel;
  a.stride_h = a.stride_w = stride;
  a.pad_top = a.pad_left = a.pad_bottom = a.pad_right = pad;
  a.ceil_mode = ceil_mode;
  return a;
}

std::int64_t height(std::int64_t size, const PoolAttrs& a) {
  const auto y = infer(OpKind::kAvgPool, a, {sample({1, size, size})});
  return y.empty() ? -1 : y[0].shape[1];
}

TEST(MaxPoolTest, YieldsValuesAndIndices) {
  EXPECT_THAT(infer(OpKind::kMaxPool, pool(3, 2, 1, false), {sample({64, 112, 112})}),
              ElementsAre(sample({64, 56, 56}), sample({64, 56, 56}, DType::kI32)));
  EXPECT_THAT(infer(OpKind::kMaxPool, pool(3, 2, 0, false), {sample({96, 55, 55})}),
              ElementsAre(sample({96, 27, 27}), sample({96, 27, 27}, DType::kI32)));
}

TEST(AvgPoolTest, FloorDropsAndCeilKeepsTheRemainder) {
  EXPECT_EQ(height(112, pool(3, 2, 0, false)), 55);  // (112 - 3) / 2 = 54.5
  EXPECT_EQ(height(112, pool(3, 2, 0, true)), 56);
  EXPECT_EQ(height(113, pool(3, 2, 0, true)), 56);  // 55 exactly: nothing to round
  EXPECT_EQ(height(7, pool(2, 2, 0, true)), 4);
}

TEST(AvgPoolTest, CeilNeverStartsAWindowInThePadding) {
  // (5 + 2 - 2) / 2 = 2.5: the fourth window would start at 6 of a padded 7, in the trailing
  // padding.
  EXPECT_EQ(height(5, pool(2, 2, 1, true)), 3);
  EXPECT_EQ(height(6, pool(2, 2, 1, true)), 4);
  EXPECT_EQ(height(1, pool(1, 3, 0, true)), 1);
  EXPECT_EQ(height(2, pool(1, 3, 0, true)), 1);  // 1/3 rounds up, but position 3 is outside
}

TEST(AvgPoolTest, PaddingMayDifferOnEachSide) {
  PoolAttrs a = pool(3, 2, 0, false);
  a.pad_bottom = 2;
  a.pad_left = 1;
  EXPECT_THAT(infer(OpKind::kAvgPool, a, {sample({4, 8, 8})}), ElementsAre(sample({4, 4, 4})));
  a.pad_bottom = 1;
  a.pad_left = 0;
  EXPECT_THAT(infer(OpKind::kAvgPool, a, {sample({4, 8, 8})}), ElementsAre(sample({4, 4, 3})));
}

TEST(PoolTest, ErrorsSayWhatIsWrong) {
  EXPECT_EQ(infer_error(OpKind::kMaxPool, pool(3, 2, 3, false), {sample({4, 9, 9})}),
            "pad_top is 3, expected 0 to 2");
  EXPECT_EQ(infer_error(OpKind::kAvgPool, pool(8, 8, 0, false), {sample({4, 7, 9})}),
            "operand 0 (x) is 4x7x9, expected with padding at least the kernel, 8x8");
  EXPECT_EQ(infer_error(OpKind::kAvgPool, pool(2, 0, 0, false), {sample({4, 7, 9})}),
            "stride_h is 0, expected 1 or more");
  EXPECT_EQ(infer_error(OpKind::kGlobalAvgPool, NoAttrs{}, {sample({4, 7})}),
            "operand 0 (x) is 4x7, expected rank 3 (C,H,W)");
  EXPECT_EQ(infer_error(OpKind::kMaxPool, pool(2, 2, 0, false), {sample({1, 65536, 65536})}),
            "operand 0 (x) is 1x65536x65536, expected planes of at most 2^31 elements");
}

TEST(GlobalAvgPoolTest, LeavesTheChannels) {
  EXPECT_THAT(infer(OpKind::kGlobalAvgPool, NoAttrs{}, {sample({2048, 7, 7})}),
              ElementsAre(sample({2048})));
}

TEST(PoolTest, WorkCountsTaps) {
  const auto max =
      differentiate_case({OpKind::kMaxPool, pool(3, 2, 1, false), {sample({4, 9, 7})}, {}});
  ASSERT_TRUE(max.ok());
  ASSERT_EQ(max->graph.ops().size(), 2u);
  const double y = 2 * 4 * 5 * 4;
  EXPECT_EQ(op_work(max->graph, max->graph.ops()[0], 2).flops, Flops(y * 9));
  EXPECT_EQ(op_work(max->graph, max->graph.ops()[0], 2).written, Bytes(static_cast<int>(y) * 8));
  EXPECT_EQ(op_work(max->graph, max->graph.ops()[1], 2).flops, Flops(y));
  const auto average =
      differentiate_case({OpKind::kAvgPool, pool(3, 2, 1, false), {sample({4, 9, 7})}, {}});
  EXPECT_EQ(op_work(average->graph, average->graph.ops()[0], 2).flops, Flops(y * 10));
  EXPECT_EQ(op_work(average->graph, average->graph.ops()[1], 2).flops, Flops(y * 10));
  const auto global =
      differentiate_case({OpKind::kGlobalAvgPool, NoAttrs{}, {sample({4, 9, 7})}, {}});
  EXPECT_EQ(op_work(global->graph, global->graph.ops()[0], 2).flops, Flops(2 * 4 * (63 + 1)));
  EXPECT_EQ(op_work(global->graph, global->graph.ops()[1], 2).flops, Flops(2 * 4));
}

TEST(PoolTest, MaxPoolBackwardReadsIndicesAndAvgPoolOnlyTheGradient) {
  const auto max =
      differentiate_case({OpKind::kMaxPool, pool(3, 2, 1, false), {sample({4, 9, 7})}, {}});
  const Op& forward = max->graph.ops()[0];
  const Op& backward = max->graph.ops()[1];
  ASSERT_EQ(backward.inputs.size(), 2u);
  EXPECT_EQ(backward.inputs[1], forward.outputs[1]);
  EXPECT_EQ(backward.attrs, forward.attrs);
  const auto average =
      differentiate_case({OpKind::kAvgPool, pool(3, 2, 1, false), {sample({4, 9, 7})}, {}});
  EXPECT_EQ(average->graph.ops()[1].inputs.size(), 1u);
}

}  // namespace
}  // namespace pluto
