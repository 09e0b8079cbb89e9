#include "model/tensor.h"

#include <gmock/gmock.h>

#include <array>

namespace pluto {
namespace {

using testing::HasSubstr;

constexpr std::array kAll = {DType::kF32, DType::kF16, DType::kBF16, DType::kI32, DType::kU8};

TEST(DTypeTest, TextRoundTrips) {
  for (DType dtype : kAll) {
    auto parsed = parse_dtype(to_text(dtype));
    ASSERT_TRUE(parsed.ok());
    EXPECT_EQ(*parsed, dtype);
  }
  EXPECT_STREQ(to_text(DType::kBF16), "bf16");
}

TEST(DTypeTest, UnknownTextListsTheKnown) {
  auto parsed = parse_dtype("float");
  ASSERT_FALSE(parsed.ok());
  EXPECT_EQ(parsed.error().message, "unknown element type 'float'");
  EXPECT_THAT(parsed.error().help, HasSubstr("bf16"));
}

TEST(DTypeTest, SizesAndKinds) {
  EXPECT_EQ(element_size(DType::kF32), 4);
  EXPECT_EQ(element_size(DType::kF16), 2);
  EXPECT_EQ(element_size(DType::kBF16), 2);
  EXPECT_EQ(element_size(DType::kI32), 4);
  EXPECT_EQ(element_size(DType::kU8), 1);
  EXPECT_TRUE(is_floating(DType::kBF16));
  EXPECT_FALSE(is_floating(DType::kI32));
  EXPECT_FALSE(is_floating(DType::kU8));
}

TEST(ShapeTest, AScalarHasOneElement) {
  EXPECT_EQ(Shape{}.elements(), 1);
  EXPECT_EQ(to_text(Shape{}), "scalar");
  EXPECT_EQ((Shape{{64, 56, 56}}).elements(), 200704);
}

TEST(ShapeTest, TextRoundTrips) {
  for (const Shape& shape : {Shape{}, Shape{{7}}, Shape{{64, 56, 56}}}) {
    auto parsed = parse_shape(to_text(shape));
    ASSERT_TRUE(parsed.ok());
    EXPECT_EQ(*parsed, shape);
  }
  EXPECT_EQ(to_text(Shape{{64, 56, 56}}), "64x56x56");
}

TEST(ShapeTest, RefusesWhatIsNoShape) {
  EXPECT_EQ(parse_shape("64x").error().message, "'64x' is no shape");
  EXPECT_EQ(parse_shape("").error().message, "'' is no shape");
  EXPECT_EQ(parse_shape("3x0").error().message, "shape 3x0 has dimension 0, expected at least 1");
}

TEST(ShapeTest, LargestShapeHasTwoToThe48Elements) {
  EXPECT_TRUE(check_shape({{kMaxElements}}).ok());
  EXPECT_TRUE(check_shape({{1 << 24, 1 << 24}}).ok());
  EXPECT_EQ(check_shape({{kMaxElements, 2}}).error().message,
            "shape 281474976710656x2 has more than 2^48 elements");
  const std::int64_t huge = std::int64_t{1} << 62;
  EXPECT_FALSE(check_shape({{huge, huge, huge}}).ok());  // would overflow to 0
}

TEST(TensorTypeTest, BatchMultipleScalesTheSamples) {
  const TensorType weight{{{10, 3}}, DType::kF32, 0}, activation{{{10, 3}}, DType::kF16, 1},
      gathered{{{10, 3}}, DType::kF32, 4};
  EXPECT_EQ(weight.elements(32), 30);
  EXPECT_EQ(activation.elements(32), 960);
  EXPECT_EQ(gathered.elements(32), 3840);
  EXPECT_EQ(weight.bytes(32), Bytes(120));
  EXPECT_EQ(activation.bytes(32), Bytes(1920));
  EXPECT_EQ(weight.samples(32), 1);
  EXPECT_EQ(gathered.samples(32), 128);
}

TEST(TensorTypeTest, TextRoundTrips) {
  for (const TensorType& type :
       {TensorType{{{64, 128}}, DType::kF32, 1}, TensorType{{}, DType::kI32, 0},
        TensorType{{{7}}, DType::kBF16, 512}}) {
    auto parsed = parse_tensor_type(to_text(type));
    ASSERT_TRUE(parsed.ok());
    EXPECT_EQ(*parsed, type);
  }
  EXPECT_EQ(to_text(TensorType{{{64, 128}}, DType::kF32, 1}), "64x128:f32:b1");
}

TEST(TensorTypeTest, ParseErrorsSayWhichPart) {
  EXPECT_EQ(parse_tensor_type("64x128:f32").error().message,
            "tensor type '64x128:f32': expected shape:element type:b<batch multiple>");
  EXPECT_EQ(parse_tensor_type("64y:f32:b1").error().message,
            "tensor type '64y:f32:b1': '64y' is no shape");
  EXPECT_EQ(parse_tensor_type("64:f31:b1").error().message,
            "tensor type '64:f31:b1': unknown element type 'f31'");
  EXPECT_THAT(parse_tensor_type("64:f32:b-1").error().message, HasSubstr("batch multiple"));
  EXPECT_THAT(parse_tensor_type("64:f32:b").error().message, HasSubstr("batch multiple"));
}

}  // namespace
}  // namespace pluto
