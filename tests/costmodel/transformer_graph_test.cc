#include "costmodel/transformer_graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/hf_config.h"
#include "model/zoo.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;

TransformerShape shape_of(const ModelGraph& model) {
  const auto shape = transformer_shape(model);
  EXPECT_TRUE(shape.ok()) << shape.error().message;
  return shape.ok() ? *shape : TransformerShape{};
}

DecoderConfig llama() {
  DecoderConfig config;
  config.name = "llama";
  config.hidden = 512;
  config.layers = 3;
  config.intermediate = 1408;
  config.vocabulary = 1000;
  config.sequence = 256;
  config.heads = 8;
  config.kv_heads = 2;
  config.head_dim = 64;
  return config;
}

TEST(TransformerGraph, GptIsReadFromItsOps) {
  const TransformerShape shape = shape_of(*build_model("gpt2"));
  EXPECT_EQ(shape, TransformerShape::gpt(12, 768, 12, 1024, 50257));
}

TEST(TransformerGraph, ZooOptionsMakeGpt3) {
  ZooOptions options;
  options.layers = 96;
  options.width_model = 12288;
  options.heads = 96;
  options.sequence = 2048;
  const TransformerShape shape = shape_of(*build_model("gpt2", options));
  EXPECT_EQ(shape, TransformerShape::gpt(96, 12288, 96, 2048, 50257));
}

TEST(TransformerGraph, BertLooksBothWays) {
  const TransformerShape shape = shape_of(*build_model("bert-large"));
  EXPECT_EQ(shape.layers, 24);
  EXPECT_EQ(shape.hidden, 1024);
  EXPECT_EQ(shape.ffn, 4096);
  EXPECT_FALSE(shape.causal);
  EXPECT_TRUE(shape.tied_embedding);
}

TEST(TransformerGraph, LlamaIsGatedWithoutBiases) {
  const TransformerShape shape = shape_of(*build_decoder(llama()));
  TransformerShape expected = TransformerShape::gpt(3, 512, 8, 256, 1000);
  expected.kv_heads = 2;
  expected.ffn = 1408;
  expected.gated = true;
  expected.biases = expected.learned_positions = expected.tied_embedding = false;
  EXPECT_EQ(shape, expected);
}

TEST(TransformerGraph, MixtralHasExperts) {
  DecoderConfig config = llama();
  config.experts = 8;
  config.experts_per_token = 2;
  const TransformerShape shape = shape_of(*build_decoder(config));
  EXPECT_EQ(shape.experts, 8);
  EXPECT_EQ(shape.experts_per_token, 2);
  EXPECT_EQ(shape.ffn, 1408);
  EXPECT_TRUE(shape.gated);
}

TEST(TransformerGraph, ParametersAreThoseOfTheGraph) {
  for (const char* name : {"gpt2", "gpt2-medium", "gpt2-xl", "bert-base", "bert-large"}) {
    const auto model = build_model(name);
    ASSERT_TRUE(model.ok()) << name;
    const auto held = static_cast<double>(parameter_count(model->graph));
    EXPECT_NEAR(parameters(shape_of(*model)) / held, 1, 0.01) << name;
  }
}

TEST(TransformerGraph, OtherModelsSayWhyTheyAreNone) {
  const auto message = [](const ModelGraph& model) {
    const auto shape = transformer_shape(model);
    return shape.ok() ? std::string("ok") : shape.error().message;
  };
  EXPECT_THAT(message(*build_model("lenet")), HasSubstr("conv2d"));
  EXPECT_THAT(message(*build_model("mlp")), HasSubstr("no attention"));
  EXPECT_THAT(message(*build_model("lstm-lm")), HasSubstr("lstm"));
  DecoderConfig wide = llama();
  wide.head_dim = 128;
  EXPECT_THAT(message(*build_decoder(wide)),
              HasSubstr("heads of width 128 where hidden / heads is 64"));
}

}  // namespace
}  // namespace pluto
