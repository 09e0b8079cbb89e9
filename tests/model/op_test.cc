#include "model/op.h"

#include <gmock/gmock.h>

#include <limits>
#include <set>

#include "tests/model/op_cases.h"

namespace pluto {
namespace {

using testing::HasSubstr;

TEST(OpKindTest, EveryKindHasItsOwnName) {
  std::set<std::string> names;
  for (std::size_t i = 0; i < kOpKindCount; ++i) {
    const auto kind = static_cast<OpKind>(i);
    names.insert(to_text(kind));
    auto parsed = parse_op_kind(to_text(kind));
    ASSERT_TRUE(parsed.ok());
    EXPECT_EQ(*parsed, kind);
  }
  EXPECT_EQ(names.size(), kOpKindCount);
}

TEST(OpKindTest, NamesFollowTheOrderOfTheEnumeration) {
  EXPECT_STREQ(to_text(OpKind::kConv2d), "conv2d");
  EXPECT_STREQ(to_text(OpKind::kBatchNorm), "batch_norm");
  EXPECT_STREQ(to_text(OpKind::kPositionAdd), "position_add");
  EXPECT_STREQ(to_text(OpKind::kTranspose), "transpose");
  EXPECT_STREQ(to_text(OpKind::kGru), "gru");
  EXPECT_STREQ(to_text(OpKind::kSoftmaxCrossEntropy), "softmax_cross_entropy");
  EXPECT_STREQ(to_text(OpKind::kFactorGather), "factor_gather");
  EXPECT_STREQ(to_text(OpKind::kGroupFirst), "group_first");
}

TEST(OpKindTest, UnknownNameSuggestsTheNearest) {
  auto parsed = parse_op_kind("conv2");
  ASSERT_FALSE(parsed.ok());
  EXPECT_EQ(parsed.error().message, "unknown op kind 'conv2'");
  EXPECT_EQ(parsed.error().help, "did you mean 'conv2d'?");
}

TEST(OpPassTest, TextRoundTrips) {
  for (OpPass pass :
       {OpPass::kForward, OpPass::kBackward, OpPass::kBackwardData, OpPass::kBackwardWeight}) {
    auto parsed = parse_op_pass(to_text(pass));
    ASSERT_TRUE(parsed.ok());
    EXPECT_EQ(*parsed, pass);
  }
  EXPECT_STREQ(to_text(OpPass::kBackwardWeight), "backward_weight");
  EXPECT_FALSE(parse_op_pass("back").ok());
}

TEST(OpAttrsTest, TextListsEveryFieldInOrder) {
  ConvAttrs conv;
  conv.out_channels = 64;
  conv.bias = true;
  EXPECT_EQ(to_text(OpAttrs(conv)),
            "out_channels=64 kernel_h=1 kernel_w=1 stride_h=1 stride_w=1 pad_top=0 pad_left=0 "
            "pad_bottom=0 "
            "pad_right=0 dilation_h=1 dilation_w=1 groups=1 bias=1");
  EXPECT_EQ(to_text(OpAttrs(NoAttrs{})), "");
  EXPECT_EQ(to_text(OpAttrs(SplitAttrs{1, {2, 3}})), "axis=1 sizes=2,3");
  EXPECT_EQ(to_text(OpAttrs(ReshapeAttrs{})), "dims=");
  EXPECT_EQ(to_text(OpAttrs(CastAttrs{"f16"})), "to=f16");
}

TEST(OpAttrsTest, NumbersAreShortestThatReadBackEqual) {
  EXPECT_EQ(to_text(OpAttrs(ScaleAttrs{0.1})), "scale=0.1");
  EXPECT_EQ(to_text(OpAttrs(ScaleAttrs{1})), "scale=1");
  EXPECT_EQ(to_text(OpAttrs(NormAttrs{1e-5})), "epsilon=1e-05");
  for (double value : {1.0 / 3.0, 0.1 + 0.2, std::numeric_limits<double>::min(),
                       std::numeric_limits<double>::max(), -0.75, 5e-324}) {
    auto parsed = parse_attrs(OpKind::kCosineSimilarity, to_text(OpAttrs(ScaleAttrs{value})));
    ASSERT_TRUE(parsed.ok()) << parsed.error().message;
    EXPECT_EQ(std::get<ScaleAttrs>(*parsed).scale, value);
  }
}

TEST(OpAttrsTest, DefaultsAndCasesRoundTrip) {
  for (std::size_t i = 0; i < kOpKindCount; ++i) {
    const auto kind = static_cast<OpKind>(i);
    if (kind == OpKind::kSplit || kind == OpKind::kReshape || kind == OpKind::kTranspose) continue;
    auto parsed = parse_attrs(kind, to_text(default_attrs(kind)));
    ASSERT_TRUE(parsed.ok()) << to_text(kind) << ": " << parsed.error().message;
    EXPECT_EQ(*parsed, default_attrs(kind));
  }
  for (const OpCase& op_case : op_cases()) {
    auto parsed = parse_attrs(op_case.kind, to_text(op_case.attrs));
    ASSERT_TRUE(parsed.ok()) << to_text(op_case.kind) << ": " << parsed.error().message;
    EXPECT_EQ(*parsed, op_case.attrs);
  }
}

TEST(OpAttrsTest, EmptyListsRoundTrip) {
  auto parsed = parse_attrs(OpKind::kReshape, "dims=");
  ASSERT_TRUE(parsed.ok());
  EXPECT_TRUE(std::get<ReshapeAttrs>(*parsed).dims.empty());
}

TEST(OpAttrsTest, GroupsOfRanksAreWords) {
  for (const RankGroup group :
       {RankGroup::kTensor, RankGroup::kContext, RankGroup::kData, RankGroup::kExpert}) {
    EXPECT_EQ(parse_rank_group(to_text(group)).value(), group);
  }
  EXPECT_EQ(to_text(OpAttrs(GroupAttrs{RankGroup::kData, 8, kBatchAxis, 1, true})),
            "group=data ranks=8 axis=-1 cut=1 shared=1");
  EXPECT_EQ(
      parse_attrs(OpKind::kGroupCopy, "group=dat ranks=8 axis=0 cut=0 shared=0").error().message,
      "attributes of group_copy: group: cannot read 'dat'");
  EXPECT_EQ(parse_rank_group("dat").error().help, "groups: tensor, context, data, expert");
}

TEST(OpAttrsTest, ParseErrorsNameTheField) {
  const auto error = [](OpKind kind, const char* text) {
    return parse_attrs(kind, text).error().message;
  };
  EXPECT_EQ(error(OpKind::kLinear, "out_features=10"), "attributes of linear: bias is missing");
  EXPECT_EQ(error(OpKind::kLinear, "bias=1 out_features=10"),
            "attributes of linear: 'bias' where out_features was expected");
  EXPECT_EQ(error(OpKind::kLinear, "out_features=ten bias=1"),
            "attributes of linear: out_features: cannot read 'ten'");
  EXPECT_EQ(error(OpKind::kLinear, "out_features=10 bias=2"),
            "attributes of linear: bias: cannot read '2'");
  EXPECT_EQ(error(OpKind::kLinear, "out_features=10 bias=1 axis=3"),
            "attributes of linear: unknown field 'axis'");
  EXPECT_EQ(error(OpKind::kRelu, "axis=3"), "attributes of relu: unknown field 'axis'");
  EXPECT_EQ(error(OpKind::kRelu, "axis"), "attributes of relu: 'axis' is no name=value");
  EXPECT_EQ(error(OpKind::kSplit, "axis=0 sizes=1,,2"),
            "attributes of split: sizes: cannot read '1,,2'");
}

}  // namespace
}  // namespace pluto
