// Pooling and normalisation: values by hand, and what happens in training and outside it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "runtime/reference/kernels.h"
#include "runtime/reference/reference_device.h"
#include "tests/support/run_kernel.h"

namespace pluto::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatEq;
using ::testing::Pointwise;

TensorType batched(std::vector<std::int64_t> dims) { return {{std::move(dims)}, DType::kF32, 1}; }
TensorType weight(std::vector<std::int64_t> dims) { return {{std::move(dims)}, DType::kF32, 0}; }

class ReferenceNormPool : public ::testing::Test {
 protected:
  std::unique_ptr<Device> device_ = make_reference_device();
};

PoolAttrs pool(std::int64_t kernel, std::int64_t stride) {
  PoolAttrs attrs;
  attrs.kernel_h = attrs.kernel_w = kernel;
  attrs.stride_h = attrs.stride_w = stride;
  return attrs;
}

TEST_F(ReferenceNormPool, MaxPoolKeepsTheValueAndItsPlace) {
  const auto y = run_forward(*device_, OpKind::kMaxPool, pool(2, 2), {batched({1, 2, 4})},
                             {{1, 5, 7, 7, 3, 2, 7, 0}});
  EXPECT_THAT(y.outputs[0], ElementsAre(5, 7));
  EXPECT_THAT(y.outputs[1], ElementsAre(1, 2)) << "the first of equal elements";
}

TEST_F(ReferenceNormPool, MaxPoolNeverTakesPadding) {
  PoolAttrs attrs = pool(2, 2);
  attrs.pad_top = attrs.pad_left = 1;
  const auto y =
      run_forward(*device_, OpKind::kMaxPool, attrs, {batched({1, 2, 2})}, {{-1, -2, -3, -4}});
  EXPECT_THAT(y.outputs[0], ElementsAre(-1));
  attrs.ceil_mode = true;
  const auto all =
      run_forward(*device_, OpKind::kMaxPool, attrs, {batched({1, 2, 2})}, {{-1, -2, -3, -4}});
  EXPECT_THAT(all.outputs[0], ElementsAre(-1, -2, -3, -4));
  EXPECT_THAT(all.outputs[1], ElementsAre(0, 1, 2, 3));
}

TEST_F(ReferenceNormPool, MaxPoolShowsNan) {
  for (const std::size_t place : {0U, 1U, 3U}) {
    Values x = {1, 2, 3, 4};
    x[place] = NAN;
    const auto y = run_forward(*device_, OpKind::kMaxPool, pool(2, 1), {batched({1, 2, 2})}, {x});
    EXPECT_TRUE(std::isnan(y.outputs[0][0])) << place;
  }
}

TEST_F(ReferenceNormPool, OverlappingWindowsAddTheirGradients) {
  const auto dx = run_backward(*device_, OpKind::kMaxPool, OpPass::kBackward, pool(2, 1),
                               {batched({1, 1, 2}), {{{1, 1, 2}}, DType::kI32, 1}},
                               {batched({1, 2, 3})}, {{10, 1}, {4, 4}});
  EXPECT_THAT(dx.outputs[0], ElementsAre(0, 0, 0, 0, 11, 0));
}

TEST_F(ReferenceNormPool, AvgPoolCountsDeclaredPaddingOrNone) {
  PoolAttrs attrs = pool(2, 2);
  attrs.pad_top = attrs.pad_left = 1;
  attrs.ceil_mode =
      true;  // the last row and column of windows hang over the end, where there is no padding
  const TensorType x = batched({1, 2, 2});
  const Values ones = {4, 4, 4, 4};
  EXPECT_THAT(run_forward(*device_, OpKind::kAvgPool, attrs, {x}, {ones}).outputs[0],
              ElementsAre(1, 2, 2, 4));
  attrs.count_include_pad = false;
  EXPECT_THAT(run_forward(*device_, OpKind::kAvgPool, attrs, {x}, {ones}).outputs[0],
              ElementsAre(4, 4, 4, 4));
}

TEST_F(ReferenceNormPool, GlobalAveragesEachChannel) {
  const auto y = run_forward(*device_, OpKind::kGlobalAvgPool, NoAttrs{}, {batched({2, 1, 2})},
                             {{1, 3, 10, 20, 5, 5, -1, 1}}, 2);
  EXPECT_THAT(y.outputs[0], ElementsAre(2, 15, 5, 0));
}

class BatchNorm : public ReferenceNormPool {
 protected:
  // One channel of two samples with two elements: mean 2.5, variance 1.25 (biased), 5/3 (unbiased).
  KernelOutcome run(bool training, BatchNormAttrs attrs = {0, 0.25, false}) {
    StepScalars scalars;
    scalars.training = training;
    const KernelRequest request =
        forward_request(OpKind::kBatchNorm, attrs, {batched({1, 1, 2}), weight({1}), weight({1})},
                        2, {weight({1}), weight({1})});
    return run_kernel(*device_, request, {{1, 2, 3, 4}, {2}, {10}}, {{100}, {4}}, scalars);
  }
};

TEST_F(BatchNorm, InTrainingNormalisesWithTheBatchAndFollowsIt) {
  const auto y = run(true);
  const float step = 2 / std::sqrt(1.25F);
  EXPECT_THAT(y.outputs[0], Pointwise(FloatEq(), Values{10 - 1.5F * step, 10 - 0.5F * step,
                                                        10 + 0.5F * step, 10 + 1.5F * step}));
  EXPECT_THAT(y.outputs[1], ElementsAre(2.5F));
  EXPECT_THAT(y.outputs[2], ElementsAre(FloatEq(1 / std::sqrt(1.25F))));
  EXPECT_FLOAT_EQ(y.updates[0][0], 0.75F * 100 + 0.25F * 2.5F);
  EXPECT_FLOAT_EQ(y.updates[1][0], 0.75F * 4 + 0.25F * 5 / 3);
}

TEST_F(BatchNorm, OutsideTrainingUsesTheRunningStatisticsUnchanged) {
  const auto y = run(false);
  EXPECT_THAT(y.outputs[0], ElementsAre(10 - 99, 10 - 98, 10 - 97, 10 - 96));
  EXPECT_THAT(y.outputs[1], ElementsAre(100));
  EXPECT_THAT(y.outputs[2], ElementsAre(0.5F));
  EXPECT_THAT(y.updates[0], ElementsAre(100));
  EXPECT_THAT(y.updates[1], ElementsAre(4));
}

TEST_F(BatchNorm, WithReluCutsAtZero) {
  const auto y = run(false, {0, 0.1, true});
  EXPECT_THAT(y.outputs[0], ElementsAre(0, 0, 0, 0));
}

TEST_F(BatchNorm, BackwardOutsideTrainingTakesTheStatisticsAsConstants) {
  StepScalars scalars;
  scalars.training = false;
  const auto gradient =
      run_backward(*device_, OpKind::kBatchNorm, OpPass::kBackward, BatchNormAttrs{0, 0.1, false},
                   {batched({1, 1, 2}), batched({1, 1, 2}), weight({1}), weight({1}), weight({1})},
                   {batched({1, 1, 2}), weight({1}), weight({1})},
                   {{1, 2, 3, 4}, {1, 2, 3, 4}, {2}, {2.5F}, {0.5F}}, 2, scalars);
  EXPECT_THAT(gradient.outputs[0], ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(gradient.outputs[1], ElementsAre(0.5F * (-1.5F - 1 + 1.5F + 6)));
  EXPECT_THAT(gradient.outputs[2], ElementsAre(10));
}

TEST_F(ReferenceNormPool, LocalResponseLooksAtNeighbouringChannels) {
  const auto y = run_forward(*device_, OpKind::kLrn, LrnAttrs{3, 3, 0.5, 1}, {batched({4, 1, 1})},
                             {{1, 2, 3, 4}});
  // scale = 1 + sum of squares over the channel and its neighbours
  EXPECT_THAT(y.outputs[1], ElementsAre(6, 15, 30, 26));
  EXPECT_THAT(y.outputs[0],
              Pointwise(FloatEq(), Values{1 / std::sqrt(6.0F), 2 / std::sqrt(15.0F),
                                          3 / std::sqrt(30.0F), 4 / std::sqrt(26.0F)}));
  // An even window has its extra channel behind.
  const auto even = run_forward(*device_, OpKind::kLrn, LrnAttrs{2, 2, 0.5, 1},
                                {batched({4, 1, 1})}, {{1, 2, 3, 4}});
  EXPECT_THAT(even.outputs[1], ElementsAre(6, 14, 26, 17));
}

TEST_F(ReferenceNormPool, LayerNormGivesEachRowZeroMeanAndUnitVariance) {
  const auto y = run_forward(*device_, OpKind::kLayerNorm, NormAttrs{0},
                             {batched({2, 4}), weight({4}), weight({4})},
                             {{1, 1, 3, 3, 10, 20, 10, 20}, {1, 2, 1, 2}, {0, 0, 5, 5}});
  EXPECT_THAT(y.outputs[0], ElementsAre(-1, -2, 6, 7, -1, 2, 4, 7));
  EXPECT_THAT(y.outputs[1], ElementsAre(2, 15));
  EXPECT_THAT(y.outputs[2], ElementsAre(1, 0.2F));
}

TEST_F(ReferenceNormPool, RmsNormDoesNotCentre) {
  const auto y = run_forward(*device_, OpKind::kRmsNorm, NormAttrs{0},
                             {batched({1, 2}), weight({2})}, {{1, 7}, {1, 10}});
  EXPECT_THAT(y.outputs[0], Pointwise(FloatEq(), Values{0.2F, 14}));
  EXPECT_THAT(y.outputs[1], ElementsAre(0.2F));
}

TEST_F(ReferenceNormPool, AConstantRowStaysFiniteByEpsilon) {
  const auto y =
      run_forward(*device_, OpKind::kLayerNorm, NormAttrs{1e-5},
                  {batched({3}), weight({3}), weight({3})}, {{4, 4, 4}, {1, 1, 1}, {0, 1, 2}});
  EXPECT_THAT(y.outputs[0], ElementsAre(0, 1, 2));
}

}  // namespace
}  // namespace pluto::testing
