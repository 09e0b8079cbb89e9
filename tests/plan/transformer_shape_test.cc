#include "plan/transformer_shape.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pluto {
namespace {

using ::testing::HasSubstr;

TEST(TransformerShape, ParameterCountsArePublished) {
  // Narayanan et al. 2021, table 1.
  EXPECT_NEAR(parameters(TransformerShape::gpt(24, 2304, 24, 2048, 51200)) / 1e9, 1.7, 0.05);
  EXPECT_NEAR(parameters(TransformerShape::gpt(96, 12288, 96, 2048, 51200)) / 1e9, 174.6, 0.05);
  EXPECT_NEAR(parameters(TransformerShape::gpt(105, 20480, 128, 2048, 51200)) / 1e9, 529.6, 0.1);
  // Llama 3, 8B and 405B.
  TransformerShape llama = TransformerShape::gpt(32, 4096, 32, 8192, 128256);
  llama.kv_heads = 8;
  llama.ffn = 14336;
  llama.gated = true;
  llama.biases = llama.learned_positions = llama.tied_embedding = false;
  EXPECT_NEAR(parameters(llama) / 1e9, 8.03, 0.005);
  llama.layers = 126;
  llama.hidden = 16384;
  llama.heads = 128;
  llama.ffn = 53248;
  EXPECT_NEAR(parameters(llama) / 1e9, 405.85, 0.1);
}

TEST(TransformerShape, ModelFlopsAreNarayanansFormula) {
  // 96 B s l h^2 (1 + s/6h + V/16lh) counts recomputing every layer; without it 72 and V/12lh.
  const double l = 96, h = 12288, s = 2048, v = 51200, b = 1536;
  const double published = 72 * b * s * l * h * h * (1 + s / (6 * h) + v / (12 * l * h));
  EXPECT_NEAR(model_flops(TransformerShape::gpt(96, 12288, 96, 2048, 51200), b) / published, 1,
              1e-9);
}

TEST(TransformerShape, PlansThatCannotBeNameTheField) {
  const auto shape = TransformerShape::gpt(24, 2048, 16, 1024, 51200);
  TransformerPlan plan;
  EXPECT_TRUE(check(shape, plan).ok());
  plan.tensor = 3;
  EXPECT_THAT(check(shape, plan).error().message, HasSubstr("16 heads do not divide"));
  plan.tensor = 1;
  plan.shard = 4;
  EXPECT_THAT(check(shape, plan).error().message, HasSubstr("shard is 4"));
}

}  // namespace
}  // namespace pluto
