// Losses, casts and updates.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "runtime/reference/kernels.h"
#include "runtime/reference/reference_device.h"
#include "runtime/reference/short_float.h"
#include "tests/support/run_kernel.h"

namespace pluto::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatEq;
using ::testing::Pointwise;

TensorType batched(std::vector<std::int64_t> dims, DType dtype = DType::kF32) {
  return {{std::move(dims)}, dtype, 1};
}
TensorType weight(std::vector<std::int64_t> dims) { return {{std::move(dims)}, DType::kF32, 0}; }

class ReferenceTraining : public ::testing::Test {
 protected:
  std::unique_ptr<Device> device_ = make_reference_device();
};

// ---- losses

TEST_F(ReferenceTraining, CrossEntropyIsTheMeanOfMinusLogProbability) {
  const float l = std::log(3.0F);  // probabilities 1/4 and 3/4
  const auto y = run_forward(*device_, OpKind::kSoftmaxCrossEntropy, NoAttrs{},
                             {batched({2}), batched({}, DType::kI32)}, {{0, l, l, 0}, {1, 1}}, 2);
  EXPECT_NEAR(y.outputs[0][0], -(std::log(0.75) + std::log(0.25)) / 2, 1e-6);
  EXPECT_THAT(y.outputs[1], Pointwise(FloatEq(), Values{0.25F, 0.75F, 0.75F, 0.25F}));
}

TEST_F(ReferenceTraining, PaddedPositionsCountInTheMeanButNotInLossOrGradient) {
  for (const float outside : {-1.0F, 2.0F}) {
    const auto y =
        run_forward(*device_, OpKind::kSoftmaxCrossEntropy, NoAttrs{},
                    {batched({2, 2}), batched({2}, DType::kI32)}, {{0, 0, 5, -5}, {0, outside}});
    EXPECT_NEAR(y.outputs[0][0], std::log(2.0) / 2, 1e-6);
    StepScalars scalars;
    scalars.loss_scale = 0.5;
    const auto dx = run_backward(*device_, OpKind::kSoftmaxCrossEntropy, OpPass::kBackward,
                                 NoAttrs{}, {batched({2, 2}), batched({2}, DType::kI32)},
                                 {batched({2, 2})}, {y.outputs[1], {0, outside}}, 1, scalars);
    // (p - onehot) * loss_scale / 2 positions
    EXPECT_THAT(dx.outputs[0], ElementsAre(-0.125F, 0.125F, 0, 0));
  }
}

TEST_F(ReferenceTraining, LossesSurviveLargeLogits) {
  const auto ce = run_forward(*device_, OpKind::kSoftmaxCrossEntropy, NoAttrs{},
                              {batched({2}), batched({}, DType::kI32)}, {{1000, 0}, {1}});
  EXPECT_FLOAT_EQ(ce.outputs[0][0], 1000);
  const auto bce = run_forward(*device_, OpKind::kBceWithLogits, NoAttrs{},
                               {batched({2}), batched({2})}, {{1000, -1000}, {0, 0}});
  EXPECT_FLOAT_EQ(bce.outputs[0][0], 500);
}

TEST_F(ReferenceTraining, ElementLossesAreMeans) {
  const std::vector<TensorType> two = {batched({2}), batched({2})};
  EXPECT_FLOAT_EQ(
      run_forward(*device_, OpKind::kMse, NoAttrs{}, two, {{1, 5}, {0, 2}}).outputs[0][0], 5);
  const float l = std::log(3.0F);
  EXPECT_NEAR(
      run_forward(*device_, OpKind::kBceWithLogits, NoAttrs{}, two, {{l, l}, {1, 0}}).outputs[0][0],
      -(std::log(0.75) + std::log(0.25)) / 2, 1e-6);
}

// The reason for the scale: gradients of parts, each with 1 / global batch, just add up.
TEST_F(ReferenceTraining, GradientsDoNotDependOnHowTheBatchIsCut) {
  StepScalars scalars;
  scalars.loss_scale = 1.0 / 4;
  const auto gradient = [&](const Values& x, std::int64_t batch) {
    return run_backward(*device_, OpKind::kMse, OpPass::kBackward, NoAttrs{},
                        {batched({1}), batched({1})}, {batched({1})}, {x, Values(x.size(), 0)},
                        batch, scalars)
        .outputs[0];
  };
  Values parts = gradient({1, 2}, 2);
  const Values second = gradient({3, 4}, 2);
  parts.insert(parts.end(), second.begin(), second.end());
  EXPECT_EQ(parts, gradient({1, 2, 3, 4}, 4));
}

// ---- 16-bit formats and casts

TEST(ShortFloat, EncodesKnownPatterns) {
  using reference::encode;
  using reference::kBrainFloat;
  using reference::kHalf;
  const double inf = std::numeric_limits<double>::infinity();
  EXPECT_EQ(encode(kHalf, 1), 0x3C00);
  EXPECT_EQ(encode(kHalf, -2), 0xC000);
  EXPECT_EQ(encode(kHalf, 65504), 0x7BFF);
  EXPECT_EQ(encode(kHalf, 65519), 0x7BFF);
  EXPECT_EQ(encode(kHalf, 65520), 0x7C00) << "half way to the next power rounds to infinity";
  EXPECT_EQ(encode(kHalf, 1e300), 0x7C00);
  EXPECT_EQ(encode(kHalf, -inf), 0xFC00);
  EXPECT_EQ(encode(kHalf, std::ldexp(1, -24)), 0x0001) << "smallest subnormal";
  EXPECT_EQ(encode(kHalf, std::ldexp(1, -25)), 0x0000) << "ties go to even";
  EXPECT_EQ(encode(kHalf, std::ldexp(3, -25)), 0x0002);
  EXPECT_EQ(encode(kHalf, std::ldexp(1, -14)), 0x0400) << "smallest normal";
  EXPECT_EQ(encode(kHalf, std::ldexp(1, -14) - std::ldexp(1, -26)), 0x0400)
      << "a subnormal rounds up into it";
  EXPECT_EQ(encode(kHalf, -0.0), 0x8000);
  EXPECT_EQ(encode(kHalf, 1 + std::ldexp(1, -11)), 0x3C00);
  EXPECT_EQ(encode(kHalf, 1 + std::ldexp(3, -11)), 0x3C02);
  EXPECT_EQ(encode(kBrainFloat, 1), 0x3F80);
  EXPECT_EQ(encode(kBrainFloat, 3.140625), 0x4049);
  EXPECT_EQ(encode(kBrainFloat, 3.4e38), 0x7F80);
  EXPECT_TRUE(std::isnan(reference::decode(kHalf, encode(kHalf, NAN))));
}

TEST(ShortFloat, EveryPatternSurvivesTheRoundTrip) {
  for (const reference::ShortFloat format : {reference::kHalf, reference::kBrainFloat}) {
    for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
      const double value = reference::decode(format, static_cast<std::uint16_t>(bits));
      if (std::isnan(value)) continue;
      ASSERT_EQ(reference::encode(format, value), bits);
    }
  }
}

TEST(ShortFloat, BrainFloatIsTheUpperHalfOfAFloat) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const std::uint32_t wide = bits << 16;
    float value;
    std::memcpy(&value, &wide, sizeof value);
    if (std::isnan(value)) continue;
    ASSERT_EQ(reference::decode(reference::kBrainFloat, static_cast<std::uint16_t>(bits)), value);
  }
}

TEST_F(ReferenceTraining, CastsRoundOnceAndStayInRange) {
  const auto cast = [&](DType from, const char* to, const Values& x) {
    return run_forward(*device_, OpKind::kCast, CastAttrs{to},
                       {batched({static_cast<std::int64_t>(x.size())}, from)}, {x})
        .outputs[0];
  };
  EXPECT_THAT(cast(DType::kF32, "u8", {-3, 0.5F, 1.5F, 254.6F, 300, NAN}),
              ElementsAre(0, 0, 2, 255, 255, 0));
  EXPECT_THAT(cast(DType::kF32, "i32", {-2.5F, 2.5F, 7}), ElementsAre(-2, 2, 7));
  EXPECT_THAT(cast(DType::kF32, "i32", {1e20F, -1e20F}),
              ElementsAre(2147483648.0F, -2147483648.0F));
  EXPECT_THAT(cast(DType::kU8, "f32", {0, 255}), ElementsAre(0, 255));
  EXPECT_THAT(cast(DType::kI32, "f32", {-7}), ElementsAre(-7));
}

TEST_F(ReferenceTraining, CastThroughSixteenBitsKeepsWhatFits) {
  for (const char* format : {"f16", "bf16"}) {
    const TensorType wide = batched({3});
    TensorType narrow = wide;
    narrow.dtype = *parse_dtype(format);
    auto there = device_->compile(forward_request(OpKind::kCast, CastAttrs{format}, {wide}, 1));
    auto back = device_->compile(forward_request(OpKind::kCast, CastAttrs{"f32"}, {narrow}, 1));
    ASSERT_TRUE(there.ok() && back.ok());
    HostTensor x(wide, 1), h(narrow, 1), y(wide, 1);
    x.set({1.5F, -0.25F, 1.0009765F});
    const std::vector<const void*> from = {x.data()}, middle = {h.data()};
    const std::vector<void*> to = {h.data()}, end = {y.data()};
    (*there)->run({from, to, {}, nullptr, {}});
    (*back)->run({middle, end, {}, nullptr, {}});
    EXPECT_THAT(y.get(), ElementsAre(1.5F, -0.25F, narrow.dtype == DType::kF16 ? 1.0009765625F : 1))
        << format;
  }
}

// ---- updates

class Update : public ReferenceTraining {
 protected:
  std::vector<Values> run(OpKind kind, const OpAttrs& attrs, const Values& g,
                          const std::vector<Values>& before, const StepScalars& scalars) {
    const TensorType type = weight({static_cast<std::int64_t>(g.size())});
    const std::vector<TensorType> updates(before.size(), type);
    return run_kernel(*device_, forward_request(kind, attrs, {type}, 1, updates), {g}, before,
                      scalars)
        .updates;
  }
  static StepScalars rate(double learning_rate, std::int64_t step = 0) {
    StepScalars scalars;
    scalars.learning_rate = learning_rate;
    scalars.step = step;
    return scalars;
  }
};

TEST_F(Update, AccumulateOverwritesFirstAndAddsAfter) {
  StepScalars scalars;
  EXPECT_THAT(run(OpKind::kAccumulate, NoAttrs{}, {1, 2}, {{NAN, 7}}, scalars)[0],
              ElementsAre(1, 2));
  scalars.micro_index = 1;
  EXPECT_THAT(run(OpKind::kAccumulate, NoAttrs{}, {1, 2}, {{10, 20}}, scalars)[0],
              ElementsAre(11, 22));
}

TEST_F(Update, SgdStepsAgainstTheGradient) {
  EXPECT_THAT(run(OpKind::kSgd, SgdAttrs{}, {2, -4}, {{1, 1}}, rate(0.25))[0],
              ElementsAre(0.5F, 2));
  EXPECT_THAT(run(OpKind::kSgd, SgdAttrs{0, 0.5, false}, {2}, {{8}}, rate(0.25))[0],
              ElementsAre(8 - 0.25F * 6));
}

TEST_F(Update, MomentumRemembers) {
  const auto after = run(OpKind::kSgd, SgdAttrs{0.5, 0, false}, {2}, {{1}, {4}}, rate(0.25));
  EXPECT_THAT(after[1], ElementsAre(4));  // 0.5 * 4 + 2
  EXPECT_THAT(after[0], ElementsAre(0));  // 1 - 0.25 * 4
  const auto ahead = run(OpKind::kSgd, SgdAttrs{0.5, 0, true}, {2}, {{1}, {4}}, rate(0.25));
  EXPECT_THAT(ahead[1], ElementsAre(4));
  EXPECT_THAT(ahead[0], ElementsAre(0));  // 1 - 0.25 * (2 + 0.5 * 4)
  const auto looking = run(OpKind::kSgd, SgdAttrs{0.5, 0, true}, {2}, {{1}, {0}}, rate(0.25));
  EXPECT_THAT(looking[0], ElementsAre(0.25F));  // 1 - 0.25 * (2 + 0.5 * 2)
}

TEST_F(Update, AdamsFirstStepHasTheSizeOfTheRate) {
  const auto after =
      run(OpKind::kAdam, AdamAttrs{}, {100, -0.01F}, {{1, 1}, {0, 0}, {0, 0}}, rate(0.125));
  EXPECT_THAT(after[0], Pointwise(FloatEq(), Values{0.875F, 1.125F}));
  EXPECT_THAT(after[1], Pointwise(FloatEq(), Values{10, -0.001F}));
  EXPECT_THAT(after[2], Pointwise(FloatEq(), Values{10, 1e-7F}));
}

TEST_F(Update, AdamCorrectsItsBiasByTheStep) {
  const AdamAttrs attrs{0.5, 0.75, 0, 0, false};
  const auto after = run(OpKind::kAdam, attrs, {2}, {{1}, {3}, {5}}, rate(1, 1));
  const double m = 0.5 * 3 + 0.5 * 2, v = 0.75 * 5 + 0.25 * 4;
  EXPECT_FLOAT_EQ(after[0][0],
                  static_cast<float>(1 - m / (1 - 0.25) / std::sqrt(v / (1 - 0.5625))));
}

TEST_F(Update, DecoupledDecayStaysOutOfTheMoments) {
  const auto coupled =
      run(OpKind::kAdam, AdamAttrs{0.9, 0.999, 1e-8, 0.1, false}, {0}, {{2}, {0}, {0}}, rate(0.5));
  EXPECT_GT(coupled[1][0], 0);
  EXPECT_FLOAT_EQ(coupled[0][0], 1.5F);
  const auto decoupled =
      run(OpKind::kAdam, AdamAttrs{0.9, 0.999, 1e-8, 0.1, true}, {0}, {{2}, {0}, {0}}, rate(0.5));
  EXPECT_EQ(decoupled[1][0], 0);
  EXPECT_FLOAT_EQ(decoupled[0][0], 2 - 0.5F * 0.1F * 2);
}

}  // namespace
}  // namespace pluto::testing
