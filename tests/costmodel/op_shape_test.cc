#include "costmodel/op_shape.h"

#include <gtest/gtest.h>

#include "model/training_graph.h"
#include "model/zoo.h"

namespace pluto {
namespace {

TensorType tensor(std::vector<std::int64_t> dims, int batch = 1, DType dtype = DType::kF32) {
  return {Shape{std::move(dims)}, dtype, batch};
}

double flops(const OpShape& shape) {
  double sum = 0;
  for (const auto& p : shape.products) sum += 2 * p.m * p.n * p.k * p.batch * p.repeats;
  return sum;
}

TEST(OpShape, AConvolutionIsTheSameProductInEveryPass) {
  ConvAttrs attrs{.out_channels = 64, .kernel_h = 3, .kernel_w = 3};
  attrs.pad_top = attrs.pad_left = attrs.pad_bottom = attrs.pad_right = 1;
  const auto x = tensor({32, 56, 56}), w = tensor({64, 32, 3, 3}, 0), y = tensor({64, 56, 56});
  const auto forward = shape_of({OpKind::kConv2d, OpPass::kForward, attrs, {x, w}, {y}, 8});
  ASSERT_EQ(forward.products.size(), 1U);
  EXPECT_EQ(forward.products[0].m, 8 * 56 * 56);
  EXPECT_EQ(forward.products[0].n, 64);
  EXPECT_EQ(forward.products[0].k, 32 * 9);
  EXPECT_EQ(forward.winograd.kernel, 3);
  const auto weight = shape_of({OpKind::kConv2d, OpPass::kBackwardWeight, attrs, {y, x}, {w}, 8});
  EXPECT_EQ(weight.products[0].k, 8 * 56 * 56);
  const auto data = shape_of({OpKind::kConv2d, OpPass::kBackwardData, attrs, {y, w}, {x}, 8});
  EXPECT_EQ(data.products[0].n, 32);
  EXPECT_DOUBLE_EQ(flops(forward), flops(weight));
  EXPECT_DOUBLE_EQ(flops(forward), flops(data));
}

TEST(OpShape, StridesAndFewChannelsLeaveWinogradOut) {
  ConvAttrs attrs{.out_channels = 64, .kernel_h = 7, .kernel_w = 7, .stride_h = 2, .stride_w = 2};
  attrs.pad_top = attrs.pad_left = attrs.pad_bottom = attrs.pad_right = 3;
  const auto x = tensor({3, 224, 224}), w = tensor({64, 3, 7, 7}, 0), y = tensor({64, 112, 112});
  const auto shape = shape_of({OpKind::kConv2d, OpPass::kForward, attrs, {x, w}, {y}, 1});
  EXPECT_EQ(shape.winograd.kernel, 0);
  EXPECT_FALSE(shape.aligned);  // three channels
}

TEST(OpShape, ProductsOfAWholeModelAddUpToItsWork) {
  for (const char* name : {"resnet18", "gpt2", "lstm-lm", "alexnet"}) {
    const auto model = build_model(name);
    ASSERT_TRUE(model.ok()) << name;
    const auto training = differentiate(*model, SgdAttrs{});
    ASSERT_TRUE(training.ok()) << name;
    for (const auto& op : training->graph.ops()) {
      const auto signature = signature_of(training->graph, op, 4);
      const auto shape = shape_of(signature);
      const auto work = op_work(signature);
      EXPECT_EQ(shape.bytes, static_cast<double>((work.read + work.written).value()));
      if (shape.products.empty()) continue;
      const auto* conv = std::get_if<ConvAttrs>(&op.attrs);
      if (conv != nullptr && conv->stride_h > 1 && op.pass == OpPass::kBackwardData) {
        EXPECT_GE(flops(shape), 0.99 * work.flops.value()) << name << " " << to_text(signature);
        continue;  // one product has room for the most taps that reach a pixel
      }
      // biases, gates and softmax are left out
      EXPECT_NEAR(flops(shape) / work.flops.value(), 1, 0.3) << name << " " << to_text(signature);
    }
  }
}

TEST(OpShape, TheElementTypeChoosesTheArithmetic) {
  OpSignature linear{OpKind::kLinear,       OpPass::kForward,
                     LinearAttrs{8, false}, {tensor({8}), tensor({8, 8}, 0)},
                     {tensor({8})},         4};
  EXPECT_EQ(shape_of(linear).arithmetic, Arithmetic::kF32);
  EXPECT_EQ(shape_of(linear, true).arithmetic, Arithmetic::kTf32);
  for (auto* types : {&linear.inputs, &linear.outputs}) {
    for (auto& type : *types) type.dtype = DType::kBF16;
  }
  EXPECT_EQ(shape_of(linear, true).arithmetic, Arithmetic::kHalf);
  EXPECT_EQ(shape_of(linear).element_bytes, 2);
}

TEST(OpShape, EagerAttentionKeepsTheProductsAndAddsTheScores) {
  const auto q = tensor({128, 256}), lse = tensor({4, 128});
  const OpSignature fused{OpKind::kAttention, OpPass::kForward, AttentionAttrs{4, 4, false},
                          {q, q, q},          {q, lse},         2};
  const auto parts = eager_attention(fused);
  double products = 0, bytes = 0;
  for (const auto& part : parts) {
    products += flops(shape_of(part));
    bytes += shape_of(part).bytes;
  }
  EXPECT_DOUBLE_EQ(products, flops(shape_of(fused)));
  EXPECT_GT(bytes, shape_of(fused).bytes + 4.0 * 2 * 4 * 128 * 128 * 4);
  OpSignature backward = fused;
  backward.pass = OpPass::kBackward;
  backward.inputs = {q, q, q, q, q, lse};
  backward.outputs = {q, q, q};
  EXPECT_GT(eager_attention(backward).size(), parts.size());
}

}  // namespace
}  // namespace pluto
