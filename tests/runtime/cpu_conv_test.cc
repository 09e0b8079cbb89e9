// Both ways to compute a convolution, whichever of them is chosen.
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "runtime/cpu/conv.h"
#include "runtime/cpu/parallel.h"
#include "runtime/reference/reference_device.h"
#include "tests/support/run_kernel.h"

namespace pluto::cpu {
namespace {

using ::pluto::testing::HostTensor;
using ::pluto::testing::Values;
using ::pluto::testing::Workspace;

struct ConvCase {
  std::string name;
  std::int64_t channels, height, width;
  ConvAttrs attrs;
};

ConvAttrs conv(std::int64_t out, std::int64_t kernel, std::int64_t stride, std::int64_t pad,
               std::int64_t groups, bool bias) {
  ConvAttrs a;
  a.out_channels = out;
  a.kernel_h = a.kernel_w = kernel;
  a.stride_h = a.stride_w = stride;
  a.pad_top = a.pad_left = a.pad_bottom = a.pad_right = pad;
  a.groups = groups;
  a.bias = bias;
  return a;
}

std::vector<ConvCase> conv_cases() {
  ConvAttrs uneven = conv(6, 3, 2, 0, 1, true);
  uneven.pad_top = 2, uneven.pad_right = 3, uneven.stride_w = 1, uneven.dilation_h = 2,
  uneven.kernel_w = 4;
  ConvAttrs beyond = conv(4, 3, 1, 4, 1, false);  // windows wholly in the padding
  return {{"Plain", 3, 8, 9, conv(7, 3, 1, 1, 1, true)},
          {"Wide", 32, 10, 10, conv(48, 3, 1, 1, 1, true)},
          {"Uneven", 4, 11, 9, uneven},
          {"Beyond", 2, 3, 3, beyond},
          {"Stride", 16, 13, 13, conv(16, 5, 3, 2, 1, false)},
          {"Groups", 8, 7, 7, conv(12, 5, 1, 2, 4, true)},
          {"Depthwise", 19, 9, 10, conv(19, 3, 2, 1, 19, true)},
          {"Pointwise", 33, 7, 5, conv(18, 1, 1, 0, 1, true)},
          {"PointwiseStride", 16, 9, 9, conv(32, 1, 2, 0, 1, true)},
          {"PointwiseGroups", 8, 6, 6, conv(16, 1, 1, 0, 2, true)}};
}

constexpr std::int64_t kBatch = 3;
#if defined(__SANITIZE_THREAD__)
constexpr int kThreads = 1;  // libgomp synchronises in ways the sanitizer does not see
#else
constexpr int kThreads = 2;
#endif

Values spread(std::int64_t count, int salt) {
  Values values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>((i * 37 + static_cast<std::size_t>(salt)) % 101) / 50 - 1;
  }
  return values;
}

std::vector<Values> run(Kernel& kernel, const KernelRequest& request,
                        const std::vector<Values>& inputs) {
  std::vector<HostTensor> in, out;
  std::vector<const void*> in_pointers;
  std::vector<void*> out_pointers;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    in.emplace_back(request.signature.inputs[i], kBatch).set(inputs[i]);
    in_pointers.push_back(in.back().data());
  }
  for (const TensorType& type : request.signature.outputs)
    out_pointers.push_back(out.emplace_back(type, kBatch).data());
  Workspace workspace(kernel.workspace());
  kernel.run({in_pointers, out_pointers, {}, workspace.data(), {}});
  std::vector<Values> results;
  for (const HostTensor& tensor : out) results.push_back(tensor.get());
  return results;
}

void expect_near(const std::vector<Values>& actual, const std::vector<Values>& expected,
                 const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    float largest = 1;
    for (float value : expected[i]) largest = std::max(largest, std::abs(value));
    for (std::size_t j = 0; j < actual[i].size(); ++j) {
      ASSERT_NEAR(actual[i][j], expected[i][j], 2e-5f * largest)
          << what << ", output " << i << ", element " << j;
    }
  }
}

class ConvWays : public ::testing::TestWithParam<ConvCase> {};

TEST_P(ConvWays, AgreeWithTheReference) {
  const ConvCase& test = GetParam();
  const ConvAttrs& a = test.attrs;
  const TensorType x{{{test.channels, test.height, test.width}}, DType::kF32, 1};
  const TensorType w{
      {{a.out_channels, test.channels / a.groups, a.kernel_h, a.kernel_w}}, DType::kF32, 0};
  const TensorType b{{{a.out_channels}}, DType::kF32, 0};
  std::vector<TensorType> operands = {x, w};
  if (a.bias) operands.push_back(b);
  const KernelRequest forward =
      ::pluto::testing::forward_request(OpKind::kConv2d, a, operands, kBatch);
  const TensorType y = forward.signature.outputs[0];
  std::vector<TensorType> gradients = {w};
  if (a.bias) gradients.push_back(b);
  const std::vector<KernelRequest> requests = {
      forward,
      {{OpKind::kConv2d, OpPass::kBackwardData, a, {y, w}, {x}, kBatch}, {}},
      {{OpKind::kConv2d, OpPass::kBackwardWeight, a, {y, x}, gradients, kBatch}, {}}};
  const ConvSize size{a, kBatch, test.channels, test.height, test.width, y.shape[1], y.shape[2]};
  const auto reference = make_reference_device();
  const Context context{kThreads, &isa_kernels()};
  for (const KernelRequest& request : requests) {
    const OpPass pass = request.signature.pass;
    std::vector<Values> inputs;
    for (const TensorType& type : request.signature.inputs) {
      inputs.push_back(spread(type.elements(kBatch), static_cast<int>(inputs.size())));
    }
    auto expected = reference->compile(request);
    ASSERT_TRUE(expected.ok());
    const std::vector<Values> truth = run(**expected, request, inputs);
    expect_near(run(*make_gemm_conv(pass, size, context), request, inputs), truth,
                std::string("gemm ") + to_text(pass));
    auto onednn = make_onednn_conv(pass, size, context);
    if (!onednn.ok()) {
      EXPECT_EQ(onednn.error().code, ErrorCode::kUnsupported);
      continue;
    }
    expect_near(run(**onednn, request, inputs), truth,
                (*onednn)->implementation() + " " + to_text(pass));
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, ConvWays, ::testing::ValuesIn(conv_cases()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace pluto::cpu
