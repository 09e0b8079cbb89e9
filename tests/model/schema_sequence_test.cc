#include <gmock/gmock.h>

#include "tests/model/op_cases.h"

namespace pluto {
namespace {

using testing::ElementsAre;

TEST(SoftmaxTest, KeepsTheType) {
  EXPECT_THAT(infer(OpKind::kSoftmax, NoAttrs{}, {sample({3, 5})}), ElementsAre(sample({3, 5})));
  EXPECT_EQ(infer_error(OpKind::kSoftmax, NoAttrs{}, {sample({})}),
            "operand 0 (x) is scalar, expected rank 1 or more (..., D)");
}

TEST(AttentionTest, YieldsOutputAndLogSumExpPerHead) {
  const TensorType q = sample({128, 768});
  EXPECT_THAT(infer(OpKind::kAttention, AttentionAttrs{12, 12, true}, {q, q, q}),
              ElementsAre(q, sample({12, 128})));
  const TensorType kv = sample({128, 128});
  EXPECT_THAT(infer(OpKind::kAttention, AttentionAttrs{12, 2, true}, {q, kv, kv}),
              ElementsAre(q, sample({12, 128})));
}

TEST(AttentionTest, ErrorsSayWhatIsWrong) {
  const TensorType q = sample({8, 12});
  const auto error = [&](const AttentionAttrs& a, const TensorType& k) {
    return infer_error(OpKind::kAttention, a, {q, k, q});
  };
  EXPECT_EQ(error({5, 5, false}, q), "operand 0 (q) is 8x12, expected a width that 5 heads divide");
  EXPECT_EQ(error({4, 3, false}, q), "kv_heads 3 does not divide heads 4");
  EXPECT_EQ(error({4, 8, false}, q), "kv_heads is 8, expected 1 to 4");
  EXPECT_EQ(error({4, 2, false}, q), "operand 1 (k) is 8x12, expected 8x6 (T, kv_heads*d)");
  EXPECT_EQ(error({4, 4, false}, sample({7, 12})),
            "operand 1 (k) is 7x12, expected 8x12 (T, kv_heads*d)");
}

TEST(AttentionTest, WorkIsTwoProductsForwardAndFiveBackward) {
  const double length = 512, width = 768, heads = 12, samples = 3;
  const auto flops = [&](std::int64_t kv_heads, bool causal, std::size_t op) {
    const TensorType q = sample({512, 768}), kv = sample({512, 64 * kv_heads});
    const auto result = differentiate_case(
        {OpKind::kAttention, AttentionAttrs{12, kv_heads, causal}, {q, kv, kv}, {}});
    return op_work(result->graph, result->graph.ops()[op], 3).flops.value();
  };
  const double pairs = samples * length * length;
  EXPECT_EQ(flops(12, false, 0), pairs * (4 * width + 6 * heads));
  EXPECT_EQ(flops(12, true, 0), pairs / 2 * (4 * width + 6 * heads));
  EXPECT_EQ(flops(12, false, 1), pairs * (10 * width + 6 * heads) + 2 * samples * length * width);
  EXPECT_EQ(flops(2, true, 0), flops(12, true, 0));  // shared heads save traffic only
  EXPECT_EQ(flops(2, true, 1), flops(12, true, 1));
}

TEST(AttentionTest, GroupedQueriesReadFewerKeys) {
  const TensorType q = sample({512, 768}), kv = sample({512, 128});
  const auto result =
      differentiate_case({OpKind::kAttention, AttentionAttrs{12, 2, true}, {q, kv, kv}, {}});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(op_work(result->graph, result->graph.ops()[0], 1).read,
            Bytes(4 * 512 * (768 + 2 * 128)));
  const Op& backward = result->graph.ops()[1];
  EXPECT_EQ(backward.inputs.size(), 6u);  // dy q k v y lse
  EXPECT_EQ(result->graph.tensor(backward.outputs[1]).type, kv);
}

TEST(AttentionTest, GradientOfTheLogSumExpIsRefused) {
  const TensorType q = sample({8, 12});
  const auto result =
      differentiate_case({OpKind::kAttention, AttentionAttrs{4, 4, false}, {q, q, q}, {}},
                         {true, true, true}, {true, true});
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(result.error().message,
            "node node (attention): output 1 is read by a node that needs its gradient, but only "
            "output 0 is "
            "differentiable");
}

TEST(RotaryTest, HeadsHaveEvenWidth) {
  EXPECT_THAT(infer(OpKind::kRotary, RotaryAttrs{3, 10000}, {sample({6, 12})}),
              ElementsAre(sample({6, 12})));
  EXPECT_EQ(infer_error(OpKind::kRotary, RotaryAttrs{4, 10000}, {sample({6, 12})}),
            "operand 0 (x) is 6x12, expected a width that 4 heads of even size divide");
  EXPECT_EQ(infer_error(OpKind::kRotary, RotaryAttrs{3, 0}, {sample({6, 12})}),
            "theta is 0, expected above 0");
}

std::vector<TensorType> lstm(std::int64_t length, std::int64_t inputs, std::int64_t hidden) {
  return {sample({length, inputs}), fixed({4 * hidden, inputs}), fixed({4 * hidden, hidden}),
          fixed({4 * hidden})};
}

TEST(LstmTest, KeepsGatesAndCells) {
  EXPECT_THAT(infer(OpKind::kLstm, RecurrentAttrs{4, false, false}, lstm(6, 5, 4)),
              ElementsAre(sample({6, 4}), sample({6, 16}), sample({6, 4})));
}

TEST(LstmTest, ErrorsSayWhatIsWrong) {
  const auto error = [](bool state, const std::vector<TensorType>& inputs) {
    return infer_error(OpKind::kLstm, RecurrentAttrs{4, false, state}, inputs);
  };
  auto inputs = lstm(6, 5, 4);
  EXPECT_EQ(error(true, inputs), "4 operands, expected 6 (x, w_ih, w_hh, b, h0, c0)");
  inputs[1] = fixed({16, 4});
  EXPECT_EQ(error(false, inputs), "operand 1 (w_ih) is 16x4, expected 16x5 (4*hidden, inputs)");
  inputs = lstm(6, 5, 4);
  inputs.push_back(sample({4}));
  inputs.push_back(fixed({4}));
  EXPECT_EQ(error(true, inputs),
            "operand 5 (c0) has no batch axis, expected a batch axis as operand 0 (x)");
  EXPECT_EQ(infer_error(OpKind::kLstm, RecurrentAttrs{}, lstm(6, 5, 4)),
            "hidden is 0, expected 1 or more");
}

TEST(LstmTest, WorkIsTheGateProductsOfEveryStep) {
  const auto result =
      differentiate_case({OpKind::kLstm, RecurrentAttrs{8, false, false}, lstm(6, 5, 8), {}});
  ASSERT_TRUE(result.ok());
  const double steps = 3 * 6, products = 2.0 * 4 * 8 * (5 + 8);
  EXPECT_EQ(op_work(result->graph, result->graph.ops()[0], 3).flops,
            Flops(steps * (products + 26 * 8)));
  EXPECT_EQ(op_work(result->graph, result->graph.ops()[1], 3).flops,
            Flops(steps * (2 * products + 30 * 8)));
}

TEST(LstmTest, BackwardFollowsTheTable) {
  auto inputs = lstm(6, 5, 4);
  inputs.push_back(sample({4}));
  inputs.push_back(sample({4}));
  const auto result =
      differentiate_case({OpKind::kLstm, RecurrentAttrs{4, true, true}, inputs, {}});
  ASSERT_TRUE(result.ok());
  const Op& f = result->graph.ops()[0];
  const Op& b = result->graph.ops()[1];
  EXPECT_THAT(b.inputs,
              ElementsAre(*result->graph.find_tensor("dy0"), f.inputs[0], f.inputs[1], f.inputs[2],
                          f.outputs[0], f.outputs[1], f.outputs[2], f.inputs[4], f.inputs[5]));
  EXPECT_EQ(b.outputs.size(), 6u);
  EXPECT_EQ(b.attrs, f.attrs);
}

TEST(LstmTest, GradientOfTheCellsIsRefused) {
  const auto result =
      differentiate_case({OpKind::kLstm, RecurrentAttrs{4, false, false}, lstm(6, 5, 4), {}},
                         {true, true, true, true}, {true, false, true});
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kUnsupported);
}

TEST(GruTest, KeepsTheHiddenPartOfTheCandidate) {
  const std::vector<TensorType> inputs = {sample({6, 5}), fixed({12, 5}), fixed({12, 4}),
                                          fixed({12}), fixed({12})};
  EXPECT_THAT(infer(OpKind::kGru, RecurrentAttrs{4, false, false}, inputs),
              ElementsAre(sample({6, 4}), sample({6, 16})));
  EXPECT_EQ(infer_error(OpKind::kGru, RecurrentAttrs{4, false, true}, inputs),
            "5 operands, expected 6 (x, w_ih, w_hh, b_ih, b_hh, h0)");
  const auto result =
      differentiate_case({OpKind::kGru, RecurrentAttrs{4, false, false}, inputs, {}});
  ASSERT_TRUE(result.ok());
  const double steps = 3 * 6, products = 2.0 * 3 * 4 * (5 + 4);
  EXPECT_EQ(op_work(result->graph, result->graph.ops()[0], 3).flops,
            Flops(steps * (products + 23 * 4)));
  EXPECT_EQ(op_work(result->graph, result->graph.ops()[1], 3).flops,
            Flops(steps * (2 * products + 28 * 4)));
  EXPECT_EQ(result->graph.ops()[1].inputs.size(), 6u);  // dy x w_ih w_hh y gates
  EXPECT_EQ(result->graph.ops()[1].outputs.size(), 5u);
}

}  // namespace
}  // namespace pluto
