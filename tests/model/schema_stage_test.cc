#include <gmock/gmock.h>

#include "model/op_schema.h"
#include "tests/model/op_cases.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;

TensorType activation() { return {Shape{{64, 8}}, DType::kF32, 1}; }

TEST(SchemaStageTest, MessagesHaveTheTypeOfTheirAttributes) {
  const StageAttrs attrs{2, to_text(activation())};
  const auto& receive = schema_of(OpKind::kReceive);
  const auto received = receive.infer(attrs, {});
  ASSERT_TRUE(received.ok());
  EXPECT_EQ(received->front(), activation());
  const std::vector<TensorType> operand = {activation()};
  ASSERT_TRUE(schema_of(OpKind::kSend).infer(attrs, operand).ok());
  EXPECT_TRUE(schema_of(OpKind::kSend).infer(attrs, operand)->empty());
}

TEST(SchemaStageTest, OtherTypesAreRefused) {
  const StageAttrs attrs{2, "3:f32:b1"};
  const std::vector<TensorType> operand = {activation()};
  EXPECT_THAT(schema_of(OpKind::kSend).infer(attrs, operand).error().message,
              HasSubstr("64x8:f32:b1, expected 3:f32:b1"));
  EXPECT_THAT(schema_of(OpKind::kReceive).infer(StageAttrs{0, "what"}, {}).error().message,
              HasSubstr("type"));
  EXPECT_THAT(schema_of(OpKind::kReceive).infer(StageAttrs{-1, "3:f32:b1"}, {}).error().message,
              HasSubstr("peer"));
}

TEST(SchemaStageTest, AttributesReadBack) {
  const OpAttrs attrs = StageAttrs{5, to_text(activation())};
  const auto read = parse_attrs(OpKind::kSend, to_text(attrs));
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(*read, attrs);
}

}  // namespace
}  // namespace pluto
