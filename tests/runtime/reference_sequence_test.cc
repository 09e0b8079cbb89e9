// softmax, attention, rotary, lstm, gru, embeddings, cosine similarity.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/philox.h"
#include "runtime/reference/kernels.h"
#include "runtime/reference/reference_device.h"
#include "tests/support/run_kernel.h"

namespace pluto::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatEq;
using ::testing::FloatNear;
using ::testing::Pointwise;

TensorType batched(std::vector<std::int64_t> dims) { return {{std::move(dims)}, DType::kF32, 1}; }
TensorType weight(std::vector<std::int64_t> dims) { return {{std::move(dims)}, DType::kF32, 0}; }
TensorType ids(std::vector<std::int64_t> dims) { return {{std::move(dims)}, DType::kI32, 1}; }

Values random_values(std::size_t count, std::uint64_t seed) {
  Values values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = philox_normal(seed, 0, 0, i);
  return values;
}
double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

class ReferenceSequence : public ::testing::Test {
 protected:
  std::unique_ptr<Device> device_ = make_reference_device();
};

TEST_F(ReferenceSequence, SoftmaxRowsAreProportionalToExponentials) {
  const auto y = run_forward(*device_, OpKind::kSoftmax, NoAttrs{}, {batched({2, 2})},
                             {{0, std::log(3.0F), 1000, 1000}});
  EXPECT_THAT(y.outputs[0], Pointwise(FloatEq(), Values{0.25F, 0.75F, 0.5F, 0.5F}));
}

// ---- attention

TEST_F(ReferenceSequence, AttentionIsASoftmaxOfScaledProductsOverValues) {
  // One head of width 4, so the scale is 1/2; scores of query 0: 1 and 0.
  const Values q = {2, 0, 0, 0, 0, 0, 0, 0}, k = {1, 0, 0, 0, 0, 0, 0, 0},
               v = {4, 0, 0, 0, 0, 8, 0, 0};
  const auto y = run_forward(*device_, OpKind::kAttention, AttentionAttrs{1, 1, false},
                             {batched({2, 4}), batched({2, 4}), batched({2, 4})}, {q, k, v});
  const float p = static_cast<float>(sigmoid(1));
  EXPECT_THAT(y.outputs[0],
              Pointwise(FloatNear(1e-6F), Values{4 * p, 8 * (1 - p), 0, 0, 2, 4, 0, 0}));
  EXPECT_NEAR(y.outputs[1][0], std::log(std::exp(1.0) + 1), 1e-6);
  EXPECT_NEAR(y.outputs[1][1], std::log(2.0), 1e-6);
}

TEST_F(ReferenceSequence, CausalAttentionSeesNoLaterPosition) {
  const std::vector<TensorType> types(3, batched({4, 6}));
  std::vector<Values> values = {random_values(24, 1), random_values(24, 2), random_values(24, 3)};
  const AttentionAttrs attrs{2, 2, true};
  const Values before = run_forward(*device_, OpKind::kAttention, attrs, types, values).outputs[0];
  for (std::size_t i = 12; i < 24; ++i)
    values[1][i] = values[2][i] = 99;  // keys and values of positions 2 and 3
  const Values after = run_forward(*device_, OpKind::kAttention, attrs, types, values).outputs[0];
  EXPECT_EQ(Values(before.begin(), before.begin() + 12), Values(after.begin(), after.begin() + 12));
  EXPECT_NE(before, after);
  EXPECT_FLOAT_EQ(before[0], random_values(24, 3)[0]) << "position 0 sees only itself";
}

TEST_F(ReferenceSequence, GroupedQueriesShareTheirKeyAndValueHead) {
  // Four query heads of width 2 over two key/value heads equal four heads with each key/value head
  // written twice.
  const Values q = random_values(24, 1), k = random_values(12, 2), v = random_values(12, 3);
  const auto twice = [](const Values& heads) {
    Values all;
    for (std::size_t row = 0; row < 3; ++row) {
      for (const std::size_t head : {0U, 0U, 1U, 1U}) {
        for (std::size_t d = 0; d < 2; ++d) all.push_back(heads[row * 4 + head * 2 + d]);
      }
    }
    return all;
  };
  const auto grouped = run_forward(*device_, OpKind::kAttention, AttentionAttrs{4, 2, true},
                                   {batched({3, 8}), batched({3, 4}), batched({3, 4})}, {q, k, v});
  const auto full =
      run_forward(*device_, OpKind::kAttention, AttentionAttrs{4, 4, true},
                  {batched({3, 8}), batched({3, 8}), batched({3, 8})}, {q, twice(k), twice(v)});
  EXPECT_EQ(grouped.outputs, full.outputs);
}

TEST_F(ReferenceSequence, RotaryTurnsPairsByTheirPosition) {
  const auto y = run_forward(*device_, OpKind::kRotary, RotaryAttrs{1, 100}, {batched({2, 4})},
                             {{1, 2, 3, 4, 1, 2, 3, 4}});
  EXPECT_EQ(Values(y.outputs[0].begin(), y.outputs[0].begin() + 4), (Values{1, 2, 3, 4}))
      << "position 0 stays";
  // Position 1: the pair (1, 3) turns by 1, the pair (2, 4) by 100^(-1/2) = 0.1.
  EXPECT_NEAR(y.outputs[0][4], std::cos(1.0) - 3 * std::sin(1.0), 1e-6);
  EXPECT_NEAR(y.outputs[0][6], 3 * std::cos(1.0) + std::sin(1.0), 1e-6);
  EXPECT_NEAR(y.outputs[0][5], 2 * std::cos(0.1) - 4 * std::sin(0.1), 1e-6);
  EXPECT_NEAR(y.outputs[0][7], 4 * std::cos(0.1) + 2 * std::sin(0.1), 1e-6);
}

TEST_F(ReferenceSequence, ProductsOfRotatedVectorsDependOnDistanceOnly) {
  const Values one = random_values(8, 1), other = random_values(8, 2);
  Values q, k;
  for (int t = 0; t < 5; ++t) {
    q.insert(q.end(), one.begin(), one.end());
    k.insert(k.end(), other.begin(), other.end());
  }
  const Values a =
      run_forward(*device_, OpKind::kRotary, RotaryAttrs{2}, {batched({5, 8})}, {q}).outputs[0];
  const Values b =
      run_forward(*device_, OpKind::kRotary, RotaryAttrs{2}, {batched({5, 8})}, {k}).outputs[0];
  const auto product = [&](std::size_t i, std::size_t j) {
    double sum = 0;
    for (std::size_t d = 0; d < 8; ++d) sum += double{a[i * 8 + d]} * double{b[j * 8 + d]};
    return sum;
  };
  EXPECT_NEAR(product(1, 0), product(4, 3), 1e-5);
  EXPECT_NEAR(product(0, 2), product(2, 4), 1e-5);
  EXPECT_GT(std::abs(product(1, 0) - product(0, 1)), 1e-3);
}

// ---- recurrent

struct Lstm {
  std::vector<TensorType> types;
  std::vector<Values> values;
};
Lstm small_lstm(std::int64_t length) {
  return {{batched({length, 1}), weight({4, 1}), weight({4, 1}), weight({4})},
          {random_values(static_cast<std::size_t>(length), 1),
           {0.5F, -0.3F, 0.8F, 0.2F},
           {0.1F, 0.4F, -0.7F, 0.9F},
           {0.05F, 1, -0.1F, 0.3F}}};
}

TEST_F(ReferenceSequence, LstmFollowsItsEquations) {
  const Lstm cell = small_lstm(3);
  const auto y = run_forward(*device_, OpKind::kLstm, RecurrentAttrs{1, false, false}, cell.types,
                             cell.values);
  double h = 0, c = 0;
  for (std::size_t t = 0; t < 3; ++t) {
    const auto gate = [&](std::size_t g) {
      return double{cell.values[1][g]} * cell.values[0][t] + cell.values[2][g] * h +
             cell.values[3][g];
    };
    const double i = sigmoid(gate(0)), f = sigmoid(gate(1)), g = std::tanh(gate(2)),
                 o = sigmoid(gate(3));
    c = f * c + i * g;
    h = o * std::tanh(c);
    EXPECT_NEAR(y.outputs[0][t], h, 1e-6);
    EXPECT_NEAR(y.outputs[2][t], c, 1e-6);
    EXPECT_THAT(Values(y.outputs[1].begin() + static_cast<int>(4 * t),
                       y.outputs[1].begin() + static_cast<int>(4 * t + 4)),
                Pointwise(::testing::DoubleNear(1e-6), std::vector<double>{i, f, g, o}));
  }
}

TEST_F(ReferenceSequence, GruFollowsItsEquations) {
  const Values x = random_values(3, 1), w = {0.5F, -0.3F, 0.8F}, u = {0.1F, 0.4F, -0.7F},
               b = {0.05F, 1, -0.1F}, d = {0.2F, -0.6F, 0.7F};
  const auto y = run_forward(
      *device_, OpKind::kGru, RecurrentAttrs{1, false, false},
      {batched({3, 1}), weight({3, 1}), weight({3, 1}), weight({3}), weight({3})}, {x, w, u, b, d});
  double h = 0;
  for (std::size_t t = 0; t < 3; ++t) {
    const double r = sigmoid(w[0] * x[t] + b[0] + u[0] * h + d[0]);
    const double z = sigmoid(w[1] * x[t] + b[1] + u[1] * h + d[1]);
    const double hidden =
        u[2] * h + d[2];  // linear before reset: the reset gate multiplies after the product
    h = (1 - z) * std::tanh(w[2] * x[t] + b[2] + r * hidden) + z * h;
    EXPECT_NEAR(y.outputs[0][t], h, 1e-6);
    EXPECT_NEAR(y.outputs[1][4 * t + 3], hidden, 1e-6);
  }
}

TEST_F(ReferenceSequence, ReverseOfAReversedSequenceIsTheReversedAnswer) {
  Lstm cell = small_lstm(4);
  const Values forward =
      run_forward(*device_, OpKind::kLstm, RecurrentAttrs{1, false, false}, cell.types, cell.values)
          .outputs[0];
  std::reverse(cell.values[0].begin(), cell.values[0].end());
  Values backward =
      run_forward(*device_, OpKind::kLstm, RecurrentAttrs{1, true, false}, cell.types, cell.values)
          .outputs[0];
  std::reverse(backward.begin(), backward.end());
  EXPECT_EQ(backward, forward);
}

TEST_F(ReferenceSequence, ASequenceMayContinueFromItsState) {
  const Lstm whole = small_lstm(4);
  const auto all = run_forward(*device_, OpKind::kLstm, RecurrentAttrs{1, false, false},
                               whole.types, whole.values);
  Lstm rest = small_lstm(2);
  rest.values[0] = {whole.values[0][2], whole.values[0][3]};
  rest.types.insert(rest.types.end(), 2, batched({1}));
  rest.values.push_back({all.outputs[0][1]});
  rest.values.push_back({all.outputs[2][1]});
  const auto second =
      run_forward(*device_, OpKind::kLstm, RecurrentAttrs{1, false, true}, rest.types, rest.values);
  EXPECT_THAT(second.outputs[0], ElementsAre(all.outputs[0][2], all.outputs[0][3]));
}

// ---- look-ups

TEST_F(ReferenceSequence, EmbeddingReadsRowsAndZerosOutside) {
  const auto y = run_forward(*device_, OpKind::kEmbedding, EmbeddingAttrs{3, 2},
                             {ids({4}), weight({3, 2})}, {{2, 0, -1, 3}, {1, 2, 3, 4, 5, 6}});
  EXPECT_THAT(y.outputs[0], ElementsAre(5, 6, 1, 2, 0, 0, 0, 0));
  const auto scalar = run_forward(*device_, OpKind::kEmbedding, EmbeddingAttrs{3, 2},
                                  {ids({}), weight({3, 2})}, {{1, 2}, {1, 2, 3, 4, 5, 6}}, 2);
  EXPECT_THAT(scalar.outputs[0], ElementsAre(3, 4, 5, 6));
}

TEST_F(ReferenceSequence, BagSumsItsRows) {
  const auto y =
      run_forward(*device_, OpKind::kEmbeddingBag, EmbeddingAttrs{3, 2}, {ids({3}), weight({3, 2})},
                  {{2, 0, 2, 1, -1, 7}, {1, 2, 3, 4, 5, 6}}, 2);
  EXPECT_THAT(y.outputs[0], ElementsAre(11, 14, 3, 4));
}

TEST_F(ReferenceSequence, TableGradientAddsRepeatedIds) {
  const auto dtable = run_backward(*device_, OpKind::kEmbedding, OpPass::kBackwardWeight,
                                   EmbeddingAttrs{3, 1}, {batched({4, 1}), ids({4})},
                                   {weight({3, 1})}, {{1, 10, 100, 1000}, {2, 0, 2, -1}});
  EXPECT_THAT(dtable.outputs[0], ElementsAre(10, 0, 101));
}

TEST_F(ReferenceSequence, CosineOfKnownAngles) {
  const auto y = run_forward(*device_, OpKind::kCosineSimilarity, ScaleAttrs{10},
                             {batched({2}), batched({3, 2})}, {{3, 0}, {2, 0, 0, 5, -1, 1}});
  EXPECT_THAT(y.outputs[0], Pointwise(FloatNear(1e-5F), Values{10, 0, -10 / std::sqrt(2.0F)}));
  EXPECT_THAT(y.outputs[1], Pointwise(FloatEq(), Values{3, 2, 5, std::sqrt(2.0F)}));
}

TEST_F(ReferenceSequence, TheZeroVectorIsSimilarToNothing) {
  const std::vector<Values> operands = {{0, 0}, {1, 2}};
  const auto y = run_forward(*device_, OpKind::kCosineSimilarity, ScaleAttrs{1},
                             {batched({2}), batched({1, 2})}, operands);
  EXPECT_THAT(y.outputs[0], ElementsAre(0));
  const auto gradient = run_backward(
      *device_, OpKind::kCosineSimilarity, OpPass::kBackward, ScaleAttrs{1},
      {batched({1}), batched({2}), batched({1, 2}), batched({1}), batched({2})},
      {batched({2}), batched({1, 2})}, {{1}, operands[0], operands[1], y.outputs[0], y.outputs[1]});
  EXPECT_THAT(gradient.outputs[0], ElementsAre(0, 0));
  EXPECT_THAT(gradient.outputs[1], ElementsAre(0, 0));
}

}  // namespace
}  // namespace pluto::testing
