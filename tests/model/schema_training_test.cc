#include <gmock/gmock.h>

#include "tests/model/op_cases.h"

namespace pluto {
namespace {

using testing::ElementsAre;

std::string updates_error(OpKind kind, const OpAttrs& attrs, const std::vector<TensorType>& inputs,
                          const std::vector<TensorType>& updates) {
  const auto result = check_updates(kind, OpPass::kForward, attrs, inputs, updates);
  return result ? std::string("no error") : result.error().message;
}

OpWork work(OpKind kind, const OpAttrs& attrs, const std::vector<TensorType>& inputs) {
  return schema_of(kind).work(OpPass::kForward, attrs, inputs, {}, 64);
}

TEST(CastTest, ChangesTheElementType) {
  EXPECT_THAT(infer(OpKind::kCast, CastAttrs{"bf16"}, {sample({3})}),
              ElementsAre(sample({3}, DType::kBF16)));
  EXPECT_EQ(infer_error(OpKind::kCast, CastAttrs{"f64"}, {sample({3})}),
            "to: unknown element type 'f64'");
}

TEST(CastTest, GradientIsCastBack) {
  const auto parameter = differentiate_case({OpKind::kCast, CastAttrs{"bf16"}, {fixed({3})}, {}});
  ASSERT_TRUE(parameter.ok());
  EXPECT_EQ(parameter->graph.ops()[1].attrs, OpAttrs(CastAttrs{"f32"}));
  EXPECT_EQ(parameter->graph.tensor(*parameter->gradients[0]).name, "p0.grad");
  EXPECT_EQ(parameter->graph.tensor(*parameter->gradients[0]).type, fixed({3}));
  const auto integer = differentiate_case(
      {OpKind::kCast, CastAttrs{"f32"}, {sample({3}, DType::kU8)}, {}}, {true}, {true});
  EXPECT_FALSE(integer->gradients[0].has_value());
}

TEST(CastTest, TrafficFollowsTheElementTypes) {
  const std::vector<TensorType> inputs = {sample({3})};
  const auto outputs = infer(OpKind::kCast, CastAttrs{"bf16"}, inputs);
  const OpWork w =
      schema_of(OpKind::kCast).work(OpPass::kForward, CastAttrs{"bf16"}, inputs, outputs, 10);
  EXPECT_EQ(w.read, Bytes(120));
  EXPECT_EQ(w.written, Bytes(60));
}

TEST(UpdateTest, TakesOneGradientWithoutABatch) {
  for (OpKind kind : {OpKind::kAccumulate, OpKind::kSgd, OpKind::kAdam}) {
    EXPECT_TRUE(infer(kind, default_attrs(kind), {fixed({6, 5})}).empty());
    EXPECT_EQ(infer_error(kind, default_attrs(kind), {fixed({6, 5})}), "no error");
    EXPECT_EQ(infer_error(kind, default_attrs(kind), {sample({6, 5})}),
              "operand 0 (g) has a batch axis, expected the sum over the samples");
    EXPECT_EQ(schema_of(kind).gradient, nullptr);
  }
}

TEST(SgdTest, MomentumNeedsAVelocity) {
  const TensorType g = fixed({6, 5});
  EXPECT_EQ(updates_error(OpKind::kSgd, SgdAttrs{0, 0, false}, {g}, {g}), "no error");
  EXPECT_EQ(updates_error(OpKind::kSgd, SgdAttrs{0.9, 0, false}, {g}, {g}),
            "1 updates, expected 2 (w, velocity)");
  EXPECT_EQ(infer_error(OpKind::kSgd, SgdAttrs{1, 0, false}, {g}),
            "momentum is 1, expected 0 to below 1");
  EXPECT_EQ(infer_error(OpKind::kSgd, SgdAttrs{0, 0, true}, {g}),
            "nesterov needs a momentum above 0");
}

TEST(SgdTest, WorkGrowsWithItsParts) {
  const TensorType g = fixed({6, 5});
  EXPECT_EQ(work(OpKind::kSgd, SgdAttrs{}, {g}).flops, Flops(60));
  EXPECT_EQ(work(OpKind::kSgd, SgdAttrs{}, {g}).read, Bytes(2 * 120));
  EXPECT_EQ(work(OpKind::kSgd, SgdAttrs{}, {g}).written, Bytes(120));
  const OpWork full = work(OpKind::kSgd, SgdAttrs{0.9, 1e-4, true}, {g});
  EXPECT_EQ(full.flops, Flops(30 * 8));
  EXPECT_EQ(full.read, Bytes(3 * 120));
  EXPECT_EQ(full.written, Bytes(2 * 120));
}

TEST(AdamTest, ReadsFourAndWritesThree) {
  const TensorType g = fixed({6, 5});
  EXPECT_EQ(updates_error(OpKind::kAdam, AdamAttrs{}, {g}, {g, g}),
            "2 updates, expected 3 (w, m, v)");
  EXPECT_EQ(updates_error(OpKind::kAdam, AdamAttrs{}, {g}, {g, g, g}), "no error");
  const OpWork w = work(OpKind::kAdam, AdamAttrs{}, {g});
  EXPECT_EQ(w.flops, Flops(30 * 14));
  EXPECT_EQ(w.read, Bytes(4 * 120));
  EXPECT_EQ(w.written, Bytes(3 * 120));
  AdamAttrs wrong;
  wrong.beta2 = 1;
  EXPECT_EQ(infer_error(OpKind::kAdam, wrong, {g}), "beta2 is 1, expected 0 to below 1");
}

TEST(AccumulateTest, AddsOnceAndWritesOnce) {
  const OpWork w = work(OpKind::kAccumulate, NoAttrs{}, {fixed({6, 5})});
  EXPECT_EQ(w.flops, Flops(30));
  EXPECT_EQ(w.read, Bytes(2 * 120));
  EXPECT_EQ(w.written, Bytes(120));
}

TEST(CommunicationTest, WorksInPlaceOnItsBucket) {
  for (OpKind kind : {OpKind::kAllReduce, OpKind::kServerPush, OpKind::kServerPull}) {
    EXPECT_EQ(infer_error(kind, CommAttrs{0, 4}, {}), "no error");
    EXPECT_EQ(infer_error(kind, CommAttrs{0, 4}, {fixed({3})}), "1 operands, expected 0 ()");
    EXPECT_EQ(infer_error(kind, CommAttrs{0, 0}, {}), "ranks is 0, expected 1 to 1048576");
    EXPECT_EQ(infer_error(kind, CommAttrs{-1, 4}, {}), "bucket is -1, expected 0 or more");
    EXPECT_EQ(updates_error(kind, CommAttrs{0, 4}, {}, {}),
              "0 updates, expected the tensors of its bucket");
    EXPECT_EQ(updates_error(kind, CommAttrs{0, 4}, {}, {fixed({3}), sample({3})}),
              "update 1 is 3:f32:b1, expected no batch axis");
    EXPECT_EQ(updates_error(kind, CommAttrs{0, 4}, {}, {fixed({3}), fixed({4, 5})}), "no error");
  }
}

TEST(FactorGatherTest, HoldsTheSamplesOfAllRanks) {
  const auto y = infer(OpKind::kFactorGather, CommAttrs{0, 8}, {sample({6})});
  EXPECT_THAT(y, ElementsAre(TensorType{{{6}}, DType::kF32, 8}));
  EXPECT_EQ(infer_error(OpKind::kFactorGather, CommAttrs{0, 8}, {fixed({6})}),
            "operand 0 (x) holds 0 micro-batches, expected 1");
  EXPECT_EQ(infer_error(OpKind::kFactorGather, CommAttrs{0, 8}, y),
            "operand 0 (x) holds 8 micro-batches, expected 1");
}

TEST(UpdateTest, KindsThatComputeRewriteNothing) {
  EXPECT_EQ(updates_error(OpKind::kRelu, NoAttrs{}, {sample({3})}, {fixed({3})}),
            "1 updates, expected 0 (this kind rewrites nothing)");
  const auto backward =
      check_updates(OpKind::kBatchNorm, OpPass::kBackward, BatchNormAttrs{}, {}, {});
  EXPECT_TRUE(backward.ok());
}

}  // namespace
}  // namespace pluto
