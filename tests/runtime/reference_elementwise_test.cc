// Element-wise kinds, dropout above all, and kinds that only move elements.
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

TensorType batched(std::vector<std::int64_t> dims, DType dtype = DType::kF32) {
  return {{std::move(dims)}, dtype, 1};
}
TensorType weight(std::vector<std::int64_t> dims) { return {{std::move(dims)}, DType::kF32, 0}; }

class ReferenceElementwise : public ::testing::Test {
 protected:
  Values unary(OpKind kind, const Values& x) {
    return run_forward(*device_, kind, default_attrs(kind),
                       {batched({static_cast<std::int64_t>(x.size())})}, {x})
        .outputs.at(0);
  }
  std::unique_ptr<Device> device_ = make_reference_device();
};

TEST_F(ReferenceElementwise, ActivationsHaveTheirKnownValues) {
  EXPECT_THAT(unary(OpKind::kRelu, {-2, 0, 3}), ElementsAre(0, 0, 3));
  EXPECT_NEAR(unary(OpKind::kSigmoid, {std::log(3.0F)})[0], 0.75, 1e-7);
  EXPECT_NEAR(unary(OpKind::kTanh, {0.5F})[0], 0.46211716, 1e-7);
  EXPECT_NEAR(unary(OpKind::kSilu, {std::log(3.0F)})[0], 0.75 * std::log(3.0), 1e-7);
  EXPECT_NEAR(unary(OpKind::kGelu, {1})[0], 0.841192,
              1e-6);  // the tanh form; the exact one is 0.841345
  EXPECT_NEAR(unary(OpKind::kGelu, {-10})[0], 0, 1e-6);
}

TEST_F(ReferenceElementwise, ActivationsSurviveLargeArguments) {
  for (const OpKind kind : {OpKind::kSigmoid, OpKind::kTanh, OpKind::kSilu, OpKind::kGelu}) {
    const Values y = unary(kind, {-1000, 1000});
    EXPECT_TRUE(std::isfinite(y[0]) && std::isfinite(y[1])) << to_text(kind);
  }
}

TEST_F(ReferenceElementwise, NanIsNotHidden) {
  for (const OpKind kind :
       {OpKind::kRelu, OpKind::kSigmoid, OpKind::kTanh, OpKind::kSilu, OpKind::kGelu}) {
    EXPECT_TRUE(std::isnan(unary(kind, {NAN})[0])) << to_text(kind);
  }
}

TEST_F(ReferenceElementwise, SumsAndProducts) {
  const std::vector<TensorType> two = {batched({3}), batched({3})};
  const std::vector<Values> values = {{1, -2, 3}, {10, -20, -30}};
  EXPECT_THAT(run_forward(*device_, OpKind::kAdd, AddAttrs{}, two, values).outputs[0],
              ElementsAre(11, -22, -27));
  EXPECT_THAT(run_forward(*device_, OpKind::kAdd, AddAttrs{true}, two, values).outputs[0],
              ElementsAre(11, 0, 0));
  EXPECT_THAT(run_forward(*device_, OpKind::kMul, NoAttrs{}, two, values).outputs[0],
              ElementsAre(10, 40, -90));
}

TEST_F(ReferenceElementwise, PositionsStartAtTheFirstRowOfTheTable) {
  const auto y =
      run_forward(*device_, OpKind::kPositionAdd, NoAttrs{}, {batched({2, 2}), weight({3, 2})},
                  {{0, 0, 0, 0, 1, 1, 1, 1}, {1, 2, 3, 4, 5, 6}}, 2);
  EXPECT_THAT(y.outputs[0], ElementsAre(1, 2, 3, 4, 2, 3, 4, 5));
  const auto dtable =
      run_backward(*device_, OpKind::kPositionAdd, OpPass::kBackwardWeight, NoAttrs{},
                   {batched({2, 2})}, {weight({3, 2})}, {{1, 2, 3, 4, 10, 20, 30, 40}}, 2);
  EXPECT_THAT(dtable.outputs[0], ElementsAre(11, 22, 33, 44, 0, 0));
}

// Kinds that may overwrite their first operand do so without harm.
TEST_F(ReferenceElementwise, OutputMayBeTheFirstInput) {
  struct Case {
    OpKind kind;
    OpPass pass;
    std::size_t inputs;
  };
  for (const Case& test :
       {Case{OpKind::kRelu, OpPass::kForward, 1}, Case{OpKind::kGelu, OpPass::kForward, 1},
        Case{OpKind::kDropout, OpPass::kForward, 1}, Case{OpKind::kAdd, OpPass::kForward, 2},
        Case{OpKind::kSilu, OpPass::kBackward, 2}, Case{OpKind::kTanh, OpPass::kBackward, 2},
        Case{OpKind::kMse, OpPass::kBackward, 2}, Case{OpKind::kReshape, OpPass::kForward, 1},
        Case{OpKind::kSoftmax, OpPass::kForward, 1}}) {
    const std::vector<TensorType> types(test.inputs, batched({4}));
    const OpAttrs attrs =
        test.kind == OpKind::kReshape ? ReshapeAttrs{{4}} : default_attrs(test.kind);
    const KernelRequest request{{test.kind, test.pass, attrs, types, {batched({4})}, 1}, {}};
    const std::vector<Values> inputs = {{1, -2, 3, 0.5F}, {0.25F, 4, -1, 2}};
    const auto apart = run_kernel(
        *device_, request,
        std::vector<Values>(inputs.begin(), inputs.begin() + static_cast<int>(test.inputs)));
    auto kernel = device_->compile(request);
    ASSERT_TRUE(kernel.ok());
    HostTensor a(types[0], 1), b(types[0], 1);
    a.set(inputs[0]);
    b.set(inputs[1]);
    std::vector<const void*> in = {a.data(), b.data()};
    in.resize(test.inputs);
    std::vector<void*> out = {a.data()};
    (*kernel)->run({in, out, {}, nullptr, {}});
    EXPECT_EQ(a.get(), apart.outputs[0]) << to_text(test.kind);
  }
}

// ---- dropout

class Dropout : public ReferenceElementwise {
 protected:
  static constexpr std::int64_t kPerSample = 6;
  Values run(const DropoutAttrs& attrs, std::int64_t batch, const StepScalars& scalars,
             OpPass pass = OpPass::kForward) {
    const TensorType x = batched({2, 3});
    const Values ones(static_cast<std::size_t>(batch * kPerSample), 1);
    return run_kernel(*device_, {{OpKind::kDropout, pass, attrs, {x}, {x}, batch}, {}}, {ones}, {},
                      scalars)
        .outputs.at(0);
  }
};

StepScalars step(std::int64_t sample_offset) {
  StepScalars scalars;
  scalars.seed = 11;
  scalars.step = 5;
  scalars.sample_offset = sample_offset;
  return scalars;
}

TEST_F(Dropout, KeepsWhatItsCounterSays) {
  const Values y = run({0.25, 9}, 2, step(3));
  for (std::size_t i = 0; i < y.size(); ++i) {
    const bool keep = philox_uniform(11, 9, 5, 3 * kPerSample + i) >= 0.25F;
    EXPECT_EQ(y[i], keep ? static_cast<float>(1 / 0.75) : 0) << i;
  }
}

TEST_F(Dropout, MaskDependsNeitherOnMicroBatchesNorOnRanks) {
  const Values whole = run({0.5, 1}, 8, step(0));
  Values parts;
  for (std::int64_t sample = 0; sample < 8; sample += 2) {
    const Values part = run({0.5, 1}, 2, step(sample));
    parts.insert(parts.end(), part.begin(), part.end());
  }
  EXPECT_EQ(parts, whole);
}

TEST_F(Dropout, BackwardUsesTheMaskOfForward) {
  EXPECT_EQ(run({0.5, 1}, 4, step(2), OpPass::kBackward), run({0.5, 1}, 4, step(2)));
}

TEST_F(Dropout, DiffersBetweenStepsStreamsAndSeeds) {
  const Values base = run({0.5, 1}, 8, step(0));
  EXPECT_NE(run({0.5, 2}, 8, step(0)), base);
  StepScalars other = step(0);
  other.step = 6;
  EXPECT_NE(run({0.5, 1}, 8, other), base);
  other = step(0);
  other.seed = 12;
  EXPECT_NE(run({0.5, 1}, 8, other), base);
}

TEST_F(Dropout, KeepsTheExpectedShareAndMean) {
  const Values y = run({0.3, 1}, 4000, step(0));
  double sum = 0;
  for (const float value : y) sum += value;
  // Standard error of the mean: sqrt(p / (1 - p) / n).
  EXPECT_NEAR(sum / static_cast<double>(y.size()), 1,
              4 * std::sqrt(0.3 / 0.7 / static_cast<double>(y.size())));
}

TEST_F(Dropout, IsTheIdentityOutsideTraining) {
  StepScalars scalars = step(0);
  scalars.training = false;
  for (const OpPass pass : {OpPass::kForward, OpPass::kBackward}) {
    EXPECT_EQ(run({0.9, 1}, 2, scalars, pass), Values(12, 1));
  }
}

// ---- kinds that move elements

TEST_F(ReferenceElementwise, ConcatAndSplitAreInverse) {
  const Values a = {1, 2, 3, 4}, b = {5, 6, 7, 8, 9, 10, 11, 12};
  const auto joined = run_forward(*device_, OpKind::kConcat, AxisAttrs{0},
                                  {batched({1, 2}), batched({2, 2})}, {a, b}, 2);
  EXPECT_THAT(joined.outputs[0], ElementsAre(1, 2, 5, 6, 7, 8, 3, 4, 9, 10, 11, 12))
      << "the batch stays outermost";
  const auto parts = run_forward(*device_, OpKind::kSplit, SplitAttrs{0, {1, 2}}, {batched({3, 2})},
                                 joined.outputs, 2);
  EXPECT_EQ(parts.outputs, (std::vector<Values>{a, b}));
}

TEST_F(ReferenceElementwise, SliceTakesAndItsBackwardSpreads) {
  const SliceAttrs attrs{1, 1, 2};
  const auto y =
      run_forward(*device_, OpKind::kSlice, attrs, {batched({2, 4})}, {{1, 2, 3, 4, 5, 6, 7, 8}});
  EXPECT_THAT(y.outputs[0], ElementsAre(2, 3, 6, 7));
  const auto dx = run_backward(*device_, OpKind::kSlice, OpPass::kBackward, attrs,
                               {batched({2, 2})}, {batched({2, 4})}, y.outputs);
  EXPECT_THAT(dx.outputs[0], ElementsAre(0, 2, 3, 0, 0, 6, 7, 0));
}

TEST_F(ReferenceElementwise, TransposePutsAxisPermutationIAtI) {
  const auto y = run_forward(*device_, OpKind::kTranspose, TransposeAttrs{{1, 2, 0}},
                             {batched({2, 1, 3})}, {{1, 2, 3, 4, 5, 6}});
  EXPECT_THAT(y.outputs[0], ElementsAre(1, 4, 2, 5, 3, 6));
}

TEST_F(ReferenceElementwise, ShapeKindsMoveIntegersAndBytes) {
  for (const DType dtype : {DType::kI32, DType::kU8}) {
    const auto y = run_forward(*device_, OpKind::kTranspose, TransposeAttrs{{1, 0}},
                               {batched({2, 2}, dtype)}, {{1, 2, 3, 4}});
    EXPECT_THAT(y.outputs[0], ElementsAre(1, 3, 2, 4));
    const auto slice = run_forward(*device_, OpKind::kSlice, SliceAttrs{0, 1, 1},
                                   {batched({2, 2}, dtype)}, {{1, 2, 3, 4}});
    EXPECT_THAT(slice.outputs[0], ElementsAre(3, 4));
  }
}

}  // namespace
}  // namespace pluto::testing
