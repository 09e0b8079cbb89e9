// conv2d, linear, matmul, moe_ffn: forward values against hand calculation and against the formula
// written another way.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "base/philox.h"
#include "runtime/reference/kernels.h"
#include "runtime/reference/loop_kernel.h"
#include "runtime/reference/reference_device.h"
#include "tests/support/run_kernel.h"

namespace pluto::testing {
namespace {

using ::testing::ElementsAre;

TensorType batched(std::vector<std::int64_t> dims) { return {{std::move(dims)}, DType::kF32, 1}; }
TensorType weight(std::vector<std::int64_t> dims) { return {{std::move(dims)}, DType::kF32, 0}; }

Values random_values(std::size_t count, std::uint64_t seed) {
  Values values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = philox_normal(seed, 0, 0, i);
  return values;
}

class ReferenceDense : public ::testing::Test {
 protected:
  std::unique_ptr<Device> device_ = make_reference_device();
};

TEST_F(ReferenceDense, ConvolutionOfAKnownImage) {
  ConvAttrs attrs;
  attrs.out_channels = 1;
  attrs.kernel_h = attrs.kernel_w = 2;
  attrs.bias = true;
  // 1 2 3      1 0
  // 4 5 6  *   0 2   + 10: a correlation, the kernel is not flipped.
  const auto y = run_forward(*device_, OpKind::kConv2d, attrs,
                             {batched({1, 2, 3}), weight({1, 1, 2, 2}), weight({1})},
                             {{1, 2, 3, 4, 5, 6}, {1, 0, 0, 2}, {10}});
  EXPECT_THAT(y.outputs[0], ElementsAre(10 + 1 + 10, 10 + 2 + 12));
}

/// Straight from the definition, one output at a time.
float convolve(const ConvAttrs& a, const Shape& shape, const Values& x, const Values& w,
               std::int64_t n, std::int64_t o, std::int64_t i, std::int64_t j) {
  const std::int64_t group_in = shape[0] / a.groups, group = o / (a.out_channels / a.groups);
  double sum = 0;
  for (std::int64_t c = 0; c < group_in; ++c) {
    for (std::int64_t r = 0; r < a.kernel_h; ++r) {
      for (std::int64_t s = 0; s < a.kernel_w; ++s) {
        const std::int64_t h = i * a.stride_h - a.pad_top + r * a.dilation_h;
        const std::int64_t k = j * a.stride_w - a.pad_left + s * a.dilation_w;
        if (h < 0 || h >= shape[1] || k < 0 || k >= shape[2]) continue;
        const std::int64_t at =
            ((n * shape[0] + group * group_in + c) * shape[1] + h) * shape[2] + k;
        sum += double{x[static_cast<std::size_t>(at)]} *
               double{w[static_cast<std::size_t>(
                   ((o * group_in + c) * a.kernel_h + r) * a.kernel_w + s)]};
      }
    }
  }
  return static_cast<float>(sum);
}

TEST_F(ReferenceDense, ConvolutionFollowsItsDefinitionForEveryAttribute) {
  std::vector<ConvAttrs> all;
  for (const std::int64_t stride : {1, 2, 3}) {
    for (const std::int64_t dilation : {1, 2}) {
      for (const std::int64_t groups : {1, 2}) {
        ConvAttrs a;
        a.out_channels = 4, a.kernel_h = 3, a.kernel_w = 2, a.groups = groups;
        a.stride_h = stride, a.stride_w = 4 - stride, a.dilation_h = dilation,
        a.dilation_w = 3 - dilation;
        a.pad_top = 2, a.pad_bottom = 1, a.pad_left = 0,
        a.pad_right = 5;  // more padding than the kernel reaches
        all.push_back(a);
      }
    }
  }
  const TensorType x = batched({2, 7, 6});
  const Values image = random_values(2 * 2 * 42, 1);
  for (const ConvAttrs& a : all) {
    const TensorType w = weight({4, 2 / a.groups, 3, 2});
    const Values kernel = random_values(static_cast<std::size_t>(w.elements(1)), 2);
    const KernelRequest request = forward_request(OpKind::kConv2d, a, {x, w}, 2);
    const Shape& y = request.signature.outputs[0].shape;
    const auto outcome = run_kernel(*device_, request, {image, kernel});
    std::size_t at = 0;
    for (std::int64_t n = 0; n < 2; ++n) {
      for (std::int64_t o = 0; o < y[0]; ++o) {
        for (std::int64_t i = 0; i < y[1]; ++i) {
          for (std::int64_t j = 0; j < y[2]; ++j) {
            ASSERT_FLOAT_EQ(outcome.outputs[0][at++],
                            convolve(a, x.shape, image, kernel, n, o, i, j));
          }
        }
      }
    }
  }
}

TEST_F(ReferenceDense, LinearAppliesToTheLastAxis) {
  const auto y = run_forward(*device_, OpKind::kLinear, LinearAttrs{2, true},
                             {batched({2, 3}), weight({2, 3}), weight({2})},
                             {{1, 2, 3, 4, 5, 6}, {1, 0, -1, 2, 2, 2}, {100, 200}});
  EXPECT_THAT(y.outputs[0], ElementsAre(98, 212, 98, 230));
}

// Sufficient factors: the weight gradient over factors gathered from 3 ranks is the sum of the
// ranks' gradients.
TEST_F(ReferenceDense, WeightGradientOfGatheredFactorsIsTheSumOverRanks) {
  constexpr int kRanks = 3;
  const LinearAttrs attrs{2, true};
  const auto gradient = [&](int multiple, const Values& dy, const Values& x) {
    const TensorType dy_type{{{2, 2}}, DType::kF32, multiple},
        x_type{{{2, 5}}, DType::kF32, multiple};
    return run_backward(*device_, OpKind::kLinear, OpPass::kBackwardWeight, attrs,
                        {dy_type, x_type}, {weight({2, 5}), weight({2})}, {dy, x}, 2)
        .outputs;
  };
  const Values dy = random_values(kRanks * 2 * 4, 1), x = random_values(kRanks * 2 * 10, 2);
  const auto gathered = gradient(kRanks, dy, x);
  std::vector<Values> sum = {Values(10, 0), Values(2, 0)};
  for (int rank = 0; rank < kRanks; ++rank) {
    const auto own = gradient(1, Values(dy.begin() + rank * 8, dy.begin() + rank * 8 + 8),
                              Values(x.begin() + rank * 20, x.begin() + rank * 20 + 20));
    for (std::size_t i = 0; i < sum.size(); ++i) {
      for (std::size_t j = 0; j < sum[i].size(); ++j) sum[i][j] += own[i][j];
    }
  }
  for (std::size_t i = 0; i < sum.size(); ++i) {
    for (std::size_t j = 0; j < sum[i].size(); ++j) EXPECT_NEAR(gathered[i][j], sum[i][j], 1e-5);
  }
}

TEST_F(ReferenceDense, MatMulOfEveryTranspositionGivesTheSameProduct) {
  // a = 1 2 3 / 4 5 6, b = 1 0 / 2 1 / 0 3; a b = 5 11 / 14 23
  const std::vector<Values> a = {{1, 2, 3, 4, 5, 6}, {1, 4, 2, 5, 3, 6}};
  const std::vector<Values> b = {{1, 0, 2, 1, 0, 3}, {1, 2, 0, 0, 1, 3}};
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      const auto y = run_forward(
          *device_, OpKind::kMatMul, MatMulAttrs{ta, tb, 2},
          {ta ? batched({3, 2}) : batched({2, 3}), tb ? batched({2, 3}) : batched({3, 2})},
          {a[ta ? 1 : 0], b[tb ? 1 : 0]});
      EXPECT_THAT(y.outputs[0], ElementsAre(10, 22, 28, 46));
    }
  }
}

TEST_F(ReferenceDense, MatMulPairsTheMatricesOfTheBatch) {
  const auto y =
      run_forward(*device_, OpKind::kMatMul, MatMulAttrs{},
                  {batched({2, 1, 1}), batched({2, 1, 1})}, {{1, 2, 3, 4}, {10, 20, 30, 40}}, 2);
  EXPECT_THAT(y.outputs[0], ElementsAre(10, 40, 90, 160));
}

double silu(double x) { return x / (1 + std::exp(-x)); }

TEST_F(ReferenceDense, MixtureSendsATokenToItsHighestExpertsOnly) {
  // One feature, one inner unit: expert e answers down_e * silu(gate_e x) * (up_e x).
  const Values router = {3, -1, 2, 1}, gate = {0.5, 9, -1, 9}, up = {1, 9, 2, 9},
               down = {10, 9, 20, 9};
  const auto y = run_forward(
      *device_, OpKind::kMoeFfn, MoeAttrs{4, 2, 1},
      {batched({1, 1}), weight({4, 1}), weight({4, 1, 1}), weight({4, 1, 1}), weight({4, 1, 1})},
      {{2}, router, gate, up, down});
  const double p = 1 / (1 + std::exp(4.0 - 6.0));  // logits 6 and 4
  const double expected = p * 10 * silu(1) * 2 + (1 - p) * 20 * silu(-2) * 4;
  EXPECT_NEAR(y.outputs[0][0], expected, 1e-5);
}

TEST_F(ReferenceDense, MixtureOfOneExpertIsAGatedLayer) {
  const auto y = run_forward(
      *device_, OpKind::kMoeFfn, MoeAttrs{1, 1, 2},
      {batched({1, 2}), weight({1, 2}), weight({1, 2, 2}), weight({1, 2, 2}), weight({1, 2, 2})},
      {{1, 2}, {5, 5}, {1, 0, 0, 1}, {1, 1, 2, -1}, {1, 0, 0, 1}});
  EXPECT_NEAR(y.outputs[0][0], silu(1) * 3, 1e-6);
  EXPECT_NEAR(y.outputs[0][1], 0, 1e-6);
}

TEST_F(ReferenceDense, EqualExpertsAreTakenFromTheLowest) {
  const auto y = run_forward(
      *device_, OpKind::kMoeFfn, MoeAttrs{3, 1, 1},
      {batched({1, 1}), weight({3, 1}), weight({3, 1, 1}), weight({3, 1, 1}), weight({3, 1, 1})},
      {{1}, {0, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 2, 3}});
  EXPECT_NEAR(y.outputs[0][0], 2 * silu(1), 1e-6);
}

// ---- what compile() refuses

TEST_F(ReferenceDense, KernelsAreNamedReference) {
  const auto kernel = device_->compile(
      forward_request(OpKind::kLinear, LinearAttrs{2, false}, {batched({3}), weight({2, 3})}, 1));
  ASSERT_TRUE(kernel.ok());
  EXPECT_EQ((*kernel)->implementation(), "reference");
}

void expect_refused(Device& device, const KernelRequest& request, ErrorCode code,
                    const std::string& reason) {
  const auto kernel = device.compile(request);
  ASSERT_FALSE(kernel.ok());
  EXPECT_EQ(kernel.error().code, code) << kernel.error().message;
  EXPECT_THAT(kernel.error().message, ::testing::HasSubstr(reason));
}

TEST_F(ReferenceDense, CompileNamesWhatItDoesNotServe) {
  const KernelRequest all_reduce{{OpKind::kAllReduce, OpPass::kForward, CommAttrs{}, {}, {}, 1},
                                 {}};
  expect_refused(*device_, all_reduce, ErrorCode::kUnsupported,
                 "the reference backend has no kernel for all_reduce forward");

  const TensorType half{{{3}}, DType::kF16, 1};
  expect_refused(
      *device_, forward_request(OpKind::kRelu, NoAttrs{}, {half}, 1), ErrorCode::kUnsupported,
      "reference kernel of relu forward: input operand 0 is f16, these kernels take f32");
}

TEST_F(ReferenceDense, CompileRefusesOperandsThatDoNotFit) {
  KernelRequest request =
      forward_request(OpKind::kLinear, LinearAttrs{2, false}, {batched({3}), weight({2, 3})}, 1);
  KernelRequest wrong = request;
  wrong.signature.outputs[0].shape.dims[0] = 3;
  expect_refused(*device_, wrong, ErrorCode::kInvalidInput,
                 "the output types are not those that its inputs give");
  wrong = request;
  wrong.signature.inputs.pop_back();
  expect_refused(*device_, wrong, ErrorCode::kInvalidInput, "reference kernel of linear forward");
  wrong = request;
  wrong.signature.attrs = NoAttrs{};
  expect_refused(*device_, wrong, ErrorCode::kInvalidInput, "attributes");
  wrong = request;
  wrong.signature.pass = OpPass::kBackwardWeight;
  wrong.signature.outputs.clear();
  expect_refused(*device_, wrong, ErrorCode::kInvalidInput, "0 output operands, expected 1");
  const KernelRequest update{
      {OpKind::kSgd, OpPass::kForward, SgdAttrs{0.9, 0, false}, {weight({3})}, {}, 1},
      {weight({3})}};
  expect_refused(*device_, update, ErrorCode::kInvalidInput, "1 updated operands, expected 2");
}

TEST_F(ReferenceDense, DeviceDescribesItself) {
  EXPECT_THAT(device_->fingerprint(), ::testing::StartsWith("reference/"));
  EXPECT_THAT(device_->fingerprint(), ::testing::HasSubstr(device_->name()));
  EXPECT_TRUE(device_->host_memory());
  auto buffer = device_->allocate(Bytes(8));
  ASSERT_TRUE(buffer.ok());
  const std::vector<float> sent = {3, 4};
  std::vector<float> received(2);
  device_->copy_to_device((*buffer)->data(), sent.data(), Bytes(8));
  device_->copy_to_host(received.data(), (*buffer)->data(), Bytes(8));
  EXPECT_EQ(received, sent);
}

}  // namespace
}  // namespace pluto::testing
