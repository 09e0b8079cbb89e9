#pragma once
// The sizes a Hugging Face config.json states, and the models built from them.

#include <cstdint>
#include <string>

#include "base/result.h"
#include "model/graph.h"

namespace pluto {

/// The decoder of llama, mistral, mixtral, qwen2 and qwen3: RMS norms, rotary positions, gated
/// feed-forward.
struct DecoderConfig {
  std::string name;  ///< model_type
  std::int64_t hidden = 0, layers = 0, intermediate = 0, vocabulary = 0, sequence = 0;
  std::int64_t heads = 0, kv_heads = 0, head_dim = 0;
  std::int64_t experts = 0, experts_per_token = 0;  ///< 0: dense
  double norm_epsilon = 1e-6, rope_theta = 10000, stddev = 0.02;
  bool qkv_bias = false, output_bias = false, mlp_bias = false;
  bool head_norms = false;  ///< Qwen3: an RMS norm per head on queries and keys
  bool tied = false;        ///< the head is the embedding table
};

/// gpt2 (causal, norms first) and bert (masked language model, norms last): learned positions,
/// gelu.
struct LearnedPositionConfig {
  std::string name;
  std::int64_t hidden = 0, layers = 0, intermediate = 0, vocabulary = 0, sequence = 0;
  std::int64_t heads = 0, positions = 0, token_types = 0;  ///< token_types: bert only
  double norm_epsilon = 1e-5, stddev = 0.02;
  bool tied = true;
};

/// Errors: those of the schemas, naming the node.
Result<ModelGraph> build_decoder(const DecoderConfig& config);
Result<ModelGraph> build_gpt2(const LearnedPositionConfig& config);
Result<ModelGraph> build_bert(const LearnedPositionConfig& config);

}  // namespace pluto
