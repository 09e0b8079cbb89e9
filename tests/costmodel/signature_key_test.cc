#include "costmodel/signature_key.h"

#include <gtest/gtest.h>

#include <set>

namespace pluto {
namespace {

TensorType of(std::vector<std::int64_t> dims, int multiple = 1) {
  return {Shape{std::move(dims)}, DType::kF32, multiple};
}

OpSignature backward_weight(std::int64_t batch, int multiple) {
  OpSignature signature;
  signature.kind = OpKind::kLinear;
  signature.pass = OpPass::kBackwardWeight;
  signature.attrs = LinearAttrs{10, true};
  signature.inputs = {of({10}, multiple), of({64}, multiple)};
  signature.outputs = {of({10, 64}, 0), of({10}, 0)};
  signature.micro_batch = batch;
  return signature;
}

TEST(SignatureKey, TheSameOpAtAnotherBatchIsTheSameFamily) {
  const auto small = key_of(backward_weight(8, 1)), large = key_of(backward_weight(32, 1));
  EXPECT_EQ(small.family, large.family);
  EXPECT_EQ(small.batch, 8);
  EXPECT_EQ(large.batch, 32);
}

TEST(SignatureKey, GatheredOperandsCountAsALargerBatch) {
  EXPECT_EQ(key_of(backward_weight(8, 4)), key_of(backward_weight(32, 1)));
}

TEST(SignatureKey, OperandsGatheredUnevenlyAreAnotherFamily) {
  auto mixed = backward_weight(8, 4);
  mixed.inputs[1].batch_multiple = 1;
  EXPECT_NE(key_of(mixed).family, key_of(backward_weight(8, 1)).family);
  EXPECT_EQ(key_of(mixed).batch, 8);
}

TEST(SignatureKey, OpsWithoutABatchAxisHaveBatchOne) {
  OpSignature update;
  update.kind = OpKind::kSgd;
  update.attrs = SgdAttrs{0.9, 0, false};
  update.inputs = {of({100}, 0)};
  update.micro_batch = 16;
  const auto key = key_of(update);
  EXPECT_EQ(key.batch, 1);
  update.micro_batch = 128;
  EXPECT_EQ(key_of(update), key);
}

TEST(SignatureKey, EveryPartOfTheSignatureCounts) {
  std::vector<OpSignature> different(8, backward_weight(8, 1));
  different[1].kind = OpKind::kMatMul;
  different[2].pass = OpPass::kBackwardData;
  different[3].attrs = LinearAttrs{10, false};
  different[4].inputs[0].shape.dims = {5, 2};
  different[5].inputs[1].dtype = DType::kF16;
  std::swap(different[6].inputs[0], different[6].inputs[1]);
  different[7].outputs.pop_back();
  std::set<std::uint64_t> families;
  for (const auto& signature : different) families.insert(key_of(signature).family);
  EXPECT_EQ(families.size(), different.size());
}

TEST(SignatureKey, DropoutsOfDifferentStreamsAreOneFamily) {
  OpSignature dropout;
  dropout.kind = OpKind::kDropout;
  dropout.attrs = DropoutAttrs{0.1, 3};
  dropout.inputs = dropout.outputs = {of({64})};
  auto measured = parse_signature(to_text(dropout));
  ASSERT_TRUE(measured.ok());
  EXPECT_EQ(key_of(*measured), key_of(dropout));
  dropout.attrs = DropoutAttrs{0.2, 3};
  EXPECT_NE(key_of(*measured), key_of(dropout));
}

TEST(SignatureKey, VectorAndTextAttributesCount) {
  OpSignature split;
  split.kind = OpKind::kSplit;
  split.attrs = SplitAttrs{0, {1, 2}};
  const auto first = key_of(split).family;
  split.attrs = SplitAttrs{0, {2, 1}};
  EXPECT_NE(key_of(split).family, first);
  OpSignature cast;
  cast.kind = OpKind::kCast;
  cast.attrs = CastAttrs{"f16"};
  const auto half = key_of(cast).family;
  cast.attrs = CastAttrs{"f32"};
  EXPECT_NE(key_of(cast).family, half);
}

TEST(SignatureKey, KindAndPassAreToldApart) {
  auto forward = backward_weight(8, 1);
  forward.pass = OpPass::kForward;
  EXPECT_NE(kind_and_pass(forward), kind_and_pass(backward_weight(8, 1)));
  EXPECT_EQ(kind_and_pass(backward_weight(4, 1)), kind_and_pass(backward_weight(8, 2)));
}

}  // namespace
}  // namespace pluto
