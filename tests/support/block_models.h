#pragma once
// Small models with the blocks that tensor parallelism splits: transformers of every family, and a
// convolutional network with linear layers.

#include <gtest/gtest.h>

#include <utility>

#include "model/hf_config.h"
#include "model/zoo.h"
#include "model/zoo_blocks.h"

namespace pluto::testing {

inline ModelGraph checked(Result<ModelGraph> model) {
  EXPECT_TRUE(model.ok()) << (model.ok() ? "" : model.error().message);
  return model.ok() ? std::move(*model) : ModelGraph{};
}

/// Learned positions, norms first, fused queries, keys and values, tied head.
inline ModelGraph tiny_gpt(std::int64_t layers = 2, std::int64_t heads = 4,
                           std::int64_t vocabulary = 7) {
  ZooOptions options;
  options.layers = layers;
  options.heads = heads;
  options.width_model = 2 * heads;
  options.vocabulary = vocabulary;
  options.sequence = 4;
  return checked(build_model("gpt2", options));
}

/// Norms last, a head with a bias of its own.
inline ModelGraph tiny_bert(std::int64_t vocabulary = 7) {
  ZooOptions options;
  options.layers = 1;
  options.heads = 4;
  options.width_model = 8;
  options.vocabulary = vocabulary;
  options.sequence = 4;
  return checked(build_model("bert-base", options));
}

/// Grouped key/value heads, rotary positions, gated feed-forward.
inline DecoderConfig tiny_decoder_config() {
  DecoderConfig c;
  c.name = "decoder";
  c.hidden = 8;
  c.layers = 2;
  c.intermediate = 12;
  c.vocabulary = 7;
  c.sequence = 4;
  c.heads = 4;
  c.kv_heads = 2;
  c.head_dim = 4;
  c.stddev = 0.3;
  return c;
}

/// conv, relu, pool, then three linear layers; with dropout between them where asked for.
inline ModelGraph tiny_convnet(bool dropout = false) {
  Net net("tiny-convnet");
  ZooOptions options;
  TensorId x = net.image(options, 2, 8, 8);
  x = net.max_pool("pool1", net.conv_relu("conv1", x, 4, square(3, 1, 1)), square(2, 2));
  x = net.flatten("flatten", x);
  x = net.relu("relu6", net.linear("fc6", x, 12));
  if (dropout) x = net.dropout("drop7", x, 0.5);
  x = net.relu("relu7", net.linear("fc7", x, 8));
  x = net.linear("fc8", x, 4, 0.3);
  return checked(std::move(net).finish_classifier(x));
}

}  // namespace pluto::testing
