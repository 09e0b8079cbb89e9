#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plan/transformer_shape.h"
#include "tests/support/sample_documents.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;

TransformerShape mixtral() {
  TransformerShape shape = TransformerShape::gpt(32, 4096, 32, 4096, 32000);
  shape.kv_heads = 8;
  shape.ffn = 14336;
  shape.gated = true;
  shape.biases = shape.learned_positions = shape.tied_embedding = false;
  shape.experts = 8;
  shape.experts_per_token = 2;
  return shape;
}

TEST(TransformerDocument, EveryFieldReadsBack) {
  const auto shape = transformer_shape_from_value(to_value(mixtral()), "shape");
  ASSERT_TRUE(shape.ok()) << shape.error().message;
  EXPECT_EQ(*shape, mixtral());
  const TransformerPlan plan = testing::sample_transformer_plan();
  const auto read = transformer_plan_from_value(to_value(plan), "plan");
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(*read, plan);
}

TEST(TransformerDocument, UnknownKeysAndWrongKindsNameTheirPlace) {
  Value value = to_value(mixtral());
  value.set("colour", "red");
  EXPECT_THAT(transformer_shape_from_value(value, "shape").error().message, HasSubstr("colour"));
  std::string text = to_json(to_value(TransformerPlan{}), true);
  const std::string from = "\"shard\":0";
  text.replace(text.find(from), from.size(), "\"shard\":\"all\"");
  EXPECT_THAT(transformer_plan_from_value(*parse_json(text, "plan"), "plan").error().message,
              HasSubstr("shard: \"all\""));
}

TEST(TransformerDocument, WordsSayWhatIsNotTheDefault) {
  EXPECT_EQ(to_text(mixtral()),
            "32 layers x 4096, 32 heads, sequence 4096, vocabulary 32000, 8 heads of keys, 2 of 8 "
            "experts");
  EXPECT_EQ(to_text(TransformerPlan{}), "data 1 tensor 1 pipeline 1, micro 1 of 1, bf16");
  EXPECT_EQ(to_text(testing::sample_transformer_plan()),
            "data 2 tensor 4 pipeline 2 context 2 interleave 3 shard 1, micro 4 of 64, fp16, "
            "sequence parallel, recompute selective, attention flash2");
}

}  // namespace
}  // namespace pluto
