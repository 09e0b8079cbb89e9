#include <gmock/gmock.h>

#include "tests/model/op_cases.h"

namespace pluto {
namespace {

using testing::ElementsAre;

TEST(BatchNormTest, StatisticsArePerChannelWithoutABatch) {
  EXPECT_THAT(
      infer(OpKind::kBatchNorm, BatchNormAttrs{}, {sample({64, 7, 7}), fixed({64}), fixed({64})}),
      ElementsAre(sample({64, 7, 7}), fixed({64}), fixed({64})));
  EXPECT_THAT(infer(OpKind::kBatchNorm, BatchNormAttrs{}, {sample({64}), fixed({64}), fixed({64})}),
              ElementsAre(sample({64}), fixed({64}), fixed({64})));
  // Statistics stay f32.
  const DType half = DType::kF16;
  EXPECT_THAT(infer(OpKind::kBatchNorm, BatchNormAttrs{},
                    {sample({8}, half), fixed({8}, half), fixed({8}, half)}),
              ElementsAre(sample({8}, half), fixed({8}), fixed({8})));
}

TEST(BatchNormTest, ErrorsSayWhatIsWrong) {
  EXPECT_EQ(infer_error(OpKind::kBatchNorm, BatchNormAttrs{},
                        {sample({64, 7, 7}), fixed({64}), fixed({7})}),
            "operand 2 (beta) is 7, expected 64 (channels)");
  EXPECT_EQ(infer_error(OpKind::kBatchNorm, BatchNormAttrs{-1, 0.1, false},
                        {sample({64}), fixed({64}), fixed({64})}),
            "epsilon is -1, expected 0 to 1");
}

TEST(BatchNormTest, RunningStatisticsAreUpdatesOfTheChannels) {
  const std::vector<TensorType> inputs = {sample({4, 9, 7}), fixed({4}), fixed({4})};
  const auto check = [&](const std::vector<TensorType>& updates) {
    const auto result =
        check_updates(OpKind::kBatchNorm, OpPass::kForward, BatchNormAttrs{}, inputs, updates);
    return result ? std::string("no error") : result.error().message;
  };
  EXPECT_EQ(check({fixed({4}), fixed({4})}), "no error");
  EXPECT_EQ(check({}), "no error");  // normalises by the batch alone, as a recompute copy does
  EXPECT_EQ(check({fixed({4})}), "1 updates, expected 2 (running_mean, running_var)");
  EXPECT_EQ(check({fixed({4}), fixed({9})}),
            "update 1 is 9:f32:b0, expected 4 without a batch axis, as the channels");
  EXPECT_EQ(check({fixed({4}), sample({4})}),
            "update 1 is 4:f32:b1, expected 4 without a batch axis, as the channels");
}

TEST(BatchNormTest, FusedReluReadsItsOutput) {
  for (bool relu : {false, true}) {
    const OpCase op_case{OpKind::kBatchNorm,
                         BatchNormAttrs{1e-5, 0.1, relu},
                         {sample({4, 9, 7}), fixed({4}), fixed({4})},
                         {fixed({4}), fixed({4})}};
    const auto result = differentiate_case(op_case);
    ASSERT_TRUE(result.ok());
    const Op& forward = result->graph.ops()[0];
    const Op& backward = result->graph.ops()[1];
    std::vector<TensorId> expected = {backward.inputs[0], forward.inputs[0], forward.inputs[1],
                                      forward.outputs[1], forward.outputs[2]};
    if (relu) expected.push_back(forward.outputs[0]);
    EXPECT_EQ(backward.inputs, expected);
    const double x = 3 * 4 * 63;
    EXPECT_EQ(op_work(result->graph, forward, 3).flops, Flops(x * (relu ? 9 : 8)));
    EXPECT_EQ(op_work(result->graph, backward, 3).flops, Flops(x * (relu ? 12 : 11)));
    // x and y, gamma and beta, and twice two statistics of four channels.
    EXPECT_EQ(op_work(result->graph, forward, 3).read, Bytes(4 * (3 * 252 + 2 * 4 + 2 * 4)));
    EXPECT_EQ(op_work(result->graph, forward, 3).written, Bytes(4 * (3 * 252 + 4 * 4)));
  }
}

TEST(LrnTest, KeepsTheScale) {
  EXPECT_THAT(infer(OpKind::kLrn, LrnAttrs{}, {sample({96, 27, 27})}),
              ElementsAre(sample({96, 27, 27}), sample({96, 27, 27})));
  EXPECT_EQ(infer_error(OpKind::kLrn, LrnAttrs{}, {sample({96})}),
            "operand 0 (x) is 96, expected rank 3 (C,H,W)");
  LrnAttrs none;
  none.size = 0;
  EXPECT_EQ(infer_error(OpKind::kLrn, none, {sample({96, 27, 27})}),
            "size is 0, expected 1 or more");
}

TEST(LrnTest, WorkGrowsWithTheWindow) {
  const auto result = differentiate_case({OpKind::kLrn, LrnAttrs{}, {sample({4, 9, 7})}, {}});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(op_work(result->graph, result->graph.ops()[0], 1).flops, Flops(252 * 14));
  EXPECT_EQ(op_work(result->graph, result->graph.ops()[1], 1).flops, Flops(252 * 12));
  EXPECT_EQ(result->graph.ops()[1].inputs.size(), 4u);  // dy x y scale
}

TEST(LayerNormTest, StatisticsArePerRow) {
  EXPECT_THAT(infer(OpKind::kLayerNorm, NormAttrs{}, {sample({3, 5}), fixed({5}), fixed({5})}),
              ElementsAre(sample({3, 5}), sample({3}), sample({3})));
  EXPECT_THAT(infer(OpKind::kLayerNorm, NormAttrs{}, {sample({5}), fixed({5}), fixed({5})}),
              ElementsAre(sample({5}), sample({}), sample({})));
  EXPECT_THAT(infer(OpKind::kRmsNorm, NormAttrs{}, {sample({2, 3, 5}), fixed({5})}),
              ElementsAre(sample({2, 3, 5}), sample({2, 3})));
}

TEST(LayerNormTest, ErrorsSayWhatIsWrong) {
  EXPECT_EQ(infer_error(OpKind::kLayerNorm, NormAttrs{}, {sample({3, 5}), fixed({3}), fixed({5})}),
            "operand 1 (gamma) is 3, expected 5 (width)");
  EXPECT_EQ(infer_error(OpKind::kRmsNorm, NormAttrs{}, {sample({}), fixed({1})}),
            "operand 0 (x) is scalar, expected rank 1 or more (..., D)");
}

TEST(LayerNormTest, BackwardReadsInputAndStatistics) {
  const auto layer = differentiate_case(
      {OpKind::kLayerNorm, NormAttrs{}, {sample({3, 5}), fixed({5}), fixed({5})}, {}});
  ASSERT_TRUE(layer.ok());
  EXPECT_EQ(layer->graph.ops()[1].inputs.size(), 5u);
  EXPECT_EQ(layer->graph.ops()[1].outputs.size(), 3u);
  EXPECT_EQ(op_work(layer->graph, layer->graph.ops()[0], 2).flops, Flops(30 * 8));
  EXPECT_EQ(op_work(layer->graph, layer->graph.ops()[1], 2).flops, Flops(30 * 13));
  const auto rms =
      differentiate_case({OpKind::kRmsNorm, NormAttrs{}, {sample({3, 5}), fixed({5})}, {}});
  EXPECT_EQ(rms->graph.ops()[1].inputs.size(), 4u);
  EXPECT_EQ(rms->graph.ops()[1].outputs.size(), 2u);
}

}  // namespace
}  // namespace pluto
