#include "model/activation.h"

#include <gtest/gtest.h>

#include "model/op.h"

namespace pluto {
namespace {

constexpr Activation kAll[] = {Activation::kRelu, Activation::kTanh, Activation::kSigmoid,
                               Activation::kGelu, Activation::kSilu};

TEST(ActivationTest, NamesAreThoseOfTheKindsAndReadBack) {
  for (const Activation activation : kAll) {
    EXPECT_STREQ(to_text(activation), to_text(kind_of(activation)));
    EXPECT_EQ(activation_of(kind_of(activation)), activation);
    ASSERT_TRUE(parse_activation(to_text(activation)).ok());
    EXPECT_EQ(*parse_activation(to_text(activation)), activation);
  }
  EXPECT_EQ(*parse_activation("none"), Activation::kNone);
  EXPECT_EQ(activation_of(OpKind::kDropout), std::nullopt);
  EXPECT_EQ(activation_of(OpKind::kAdd), std::nullopt);
}

TEST(ActivationTest, RefusesOtherWords) {
  const auto parsed = parse_activation("swish");
  ASSERT_FALSE(parsed.ok());
  EXPECT_EQ(parsed.error().message, "unknown activation 'swish'");
}

TEST(ActivationTest, OnlyWhatIsNoFunctionOfTheResultKeepsItsOperand) {
  for (const Activation activation : kAll) {
    const bool keeps = activation == Activation::kGelu || activation == Activation::kSilu;
    EXPECT_EQ(keeps_operand(activation), keeps);
  }
  EXPECT_FALSE(keeps_operand(Activation::kNone));
}

TEST(ActivationTest, AttributesLeaveItOutWhenThereIsNone) {
  LinearAttrs attrs{6, true};
  EXPECT_EQ(to_text(OpAttrs(attrs)), "out_features=6 bias=1");
  attrs.activation = Activation::kGelu;
  EXPECT_EQ(to_text(OpAttrs(attrs)), "out_features=6 bias=1 activation=gelu");
  for (const OpAttrs& one : {OpAttrs(attrs), OpAttrs(LinearAttrs{6, true})}) {
    const auto parsed = parse_attrs(OpKind::kLinear, to_text(one));
    ASSERT_TRUE(parsed.ok()) << parsed.error().message;
    EXPECT_EQ(*parsed, one);
  }
  EXPECT_FALSE(parse_attrs(OpKind::kLinear, "out_features=6 bias=1 activation=swish").ok());
  EXPECT_FALSE(parse_attrs(OpKind::kLinear, "out_features=6 activation=gelu bias=1").ok());
  EXPECT_EQ(to_text(OpAttrs(BatchNormAttrs{1e-5, 0.1, true})), "epsilon=1e-05 momentum=0.1 relu=1");
  EXPECT_EQ(to_text(OpAttrs(BatchNormAttrs{1e-5, 0.1, true, true})),
            "epsilon=1e-05 momentum=0.1 relu=1 add=1");
  EXPECT_EQ(to_text(OpAttrs(EmbeddingAttrs{8, 4, true})), "rows=8 width=4 part=1");
}

}  // namespace
}  // namespace pluto
