// A vocabulary split over ranks, rank by rank, against the whole: look-ups in a part of a table and
// the loss of a part of the logits.
#include <gtest/gtest.h>

#include <cmath>

#include "base/philox.h"
#include "runtime/reference/reference_device.h"
#include "tests/support/run_kernel.h"

namespace pluto::testing {
namespace {

constexpr std::int64_t kRanks = 3, kOwn = 4, kAll = kRanks * kOwn, kPositions = 5, kWidth = 2;
constexpr std::int64_t kSamples = 2, kRows = kSamples * kPositions;

TensorType batched(std::vector<std::int64_t> dims, DType dtype = DType::kF32) {
  return {{std::move(dims)}, dtype, 1};
}

Values random_values(std::int64_t count, std::uint64_t seed) {
  Values values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = 3 * philox_normal(seed, 0, 0, i);
  return values;
}

/// Ids of every rank, and -1: padding.
Values ids() {
  Values values;
  for (std::int64_t i = 0; i < kRows; ++i) values.push_back(static_cast<float>(i * 7 % kAll));
  values[3] = -1;
  return values;
}

/// Columns of one rank.
Values columns(const Values& whole, std::int64_t rank) {
  Values own;
  for (std::int64_t r = 0; r < kRows; ++r) {
    for (std::int64_t i = 0; i < kOwn; ++i) {
      own.push_back(whole[static_cast<std::size_t>(r * kAll + rank * kOwn + i)]);
    }
  }
  return own;
}

KernelOutcome run(OpKind kind, OpPass pass, OpAttrs attrs, std::vector<TensorType> inputs,
                  std::vector<TensorType> outputs, const std::vector<Values>& values,
                  std::int64_t rank) {
  const auto device = make_reference_device();
  StepScalars scalars;
  scalars.loss_scale = 0.25;
  scalars.tensor_part = rank;
  const KernelRequest request{
      {kind, pass, std::move(attrs), std::move(inputs), std::move(outputs), kSamples}, {}};
  return run_kernel(*device, request, values, {}, scalars);
}

void expect_close(const Values& actual, const Values& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    EXPECT_NEAR(actual[i], expected[i], 1e-6 + 1e-6 * std::abs(expected[i])) << i;
  }
}

TEST(ReferenceVocabulary, LossAndGradientAreThoseOfTheWholeLogits) {
  const TensorType scalar{{}, DType::kF32, 0};
  const TensorType labels = batched({kPositions}, DType::kI32);
  const TensorType all = batched({kPositions, kAll}), own = batched({kPositions, kOwn});
  const TensorType terms = batched({kPositions, 2}), joined = batched({kPositions, 2 * kRanks});
  const Values logits = random_values(kRows * kAll, 3);
  const auto whole = run(OpKind::kSoftmaxCrossEntropy, OpPass::kForward, NoAttrs{}, {all, labels},
                         {scalar, all}, {logits, ids()}, 0);
  const auto slope = run(OpKind::kSoftmaxCrossEntropy, OpPass::kBackward, NoAttrs{}, {all, labels},
                         {all}, {whole.outputs[1], ids()}, 0);
  Values gathered(static_cast<std::size_t>(kRows * 2 * kRanks));
  for (std::int64_t rank = 0; rank < kRanks; ++rank) {
    const auto part = run(OpKind::kSoftmaxTerms, OpPass::kForward, NoAttrs{}, {own, labels},
                          {terms}, {columns(logits, rank), ids()}, rank);
    for (std::int64_t r = 0; r < kRows; ++r) {
      for (std::int64_t k = 0; k < 2; ++k) {
        gathered[static_cast<std::size_t>((r * kRanks + rank) * 2 + k)] =
            part.outputs[0][static_cast<std::size_t>(2 * r + k)];
      }
    }
  }
  for (std::int64_t rank = 0; rank < kRanks; ++rank) {
    const auto part =
        run(OpKind::kSplitCrossEntropy, OpPass::kForward, NoAttrs{}, {own, labels, joined},
            {scalar, own}, {columns(logits, rank), ids(), gathered}, rank);
    expect_close(part.outputs[0], whole.outputs[0]);
    expect_close(part.outputs[1], columns(whole.outputs[1], rank));
    const auto back = run(OpKind::kSplitCrossEntropy, OpPass::kBackward, NoAttrs{}, {own, labels},
                          {own}, {part.outputs[1], ids()}, rank);
    expect_close(back.outputs[0], columns(slope.outputs[0], rank));
  }
}

TEST(ReferenceVocabulary, LookUpsOfAllRanksAddUpToTheWhole) {
  const TensorType index = batched({kPositions}, DType::kI32);
  const TensorType y = batched({kPositions, kWidth});
  const TensorType table{{{kAll, kWidth}}, DType::kF32, 0};
  const TensorType part{{{kOwn, kWidth}}, DType::kF32, 0};
  const Values rows = random_values(kAll * kWidth, 5), dy = random_values(kRows * kWidth, 6);
  const EmbeddingAttrs whole_attrs{kAll, kWidth}, part_attrs{kOwn, kWidth, true};
  const auto whole =
      run(OpKind::kEmbedding, OpPass::kForward, whole_attrs, {index, table}, {y}, {ids(), rows}, 0);
  const auto slope = run(OpKind::kEmbedding, OpPass::kBackwardWeight, whole_attrs, {y, index},
                         {table}, {dy, ids()}, 0);
  Values sum(whole.outputs[0].size()), slopes;
  for (std::int64_t rank = 0; rank < kRanks; ++rank) {
    const auto begin = rows.begin() + rank * kOwn * kWidth;
    const auto mine = run(OpKind::kEmbedding, OpPass::kForward, part_attrs, {index, part}, {y},
                          {ids(), Values(begin, begin + kOwn * kWidth)}, rank);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += mine.outputs[0][i];
    const auto back = run(OpKind::kEmbedding, OpPass::kBackwardWeight, part_attrs, {y, index},
                          {part}, {dy, ids()}, rank);
    slopes.insert(slopes.end(), back.outputs[0].begin(), back.outputs[0].end());
  }
  EXPECT_EQ(sum, whole.outputs[0]);
  EXPECT_EQ(slopes, slope.outputs[0]);
}

}  // namespace
}  // namespace pluto::testing
