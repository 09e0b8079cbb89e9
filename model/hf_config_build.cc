#include <fmt/format.h>

#include <cmath>

#include "model/hf_config.h"
#include "model/zoo_blocks.h"

namespace pluto {

namespace {

TensorId rms_norm(Net& net, const std::string& name, TensorId x, std::int64_t width,
                  double epsilon) {
  GraphBuilder& b = net.builder();
  const TensorId gamma = b.parameter(name + ".weight", Shape{{width}}, {Init::Kind::kOnes, 0});
  return b.forward(name, OpKind::kRmsNorm, NormAttrs{epsilon}, {x, gamma});
}

/// Queries or keys: projection, norm per head where the model has one, rotary positions.
TensorId rotated_heads(Net& net, const std::string& name, TensorId x, const DecoderConfig& c,
                       std::int64_t heads) {
  GraphBuilder& b = net.builder();
  TensorId y = net.linear(name, x, heads * c.head_dim, c.stddev, c.qkv_bias);
  if (c.head_norms) {
    y = net.reshape(name + ".heads", y, {c.sequence, heads, c.head_dim});
    y = rms_norm(net, name + "_norm", y, c.head_dim, c.norm_epsilon);
    y = net.reshape(name + ".joined", y, {c.sequence, heads * c.head_dim});
  }
  return b.forward(name + ".rotary", OpKind::kRotary, RotaryAttrs{heads, c.rope_theta}, {y});
}

TensorId decoder_attention(Net& net, const std::string& name, TensorId x, const DecoderConfig& c) {
  const TensorId q = rotated_heads(net, name + ".q", x, c, c.heads);
  const TensorId k = rotated_heads(net, name + ".k", x, c, c.kv_heads);
  const TensorId v = net.linear(name + ".v", x, c.kv_heads * c.head_dim, c.stddev, c.qkv_bias);
  const TensorId y = net.builder().forward(name + ".attention", OpKind::kAttention,
                                           AttentionAttrs{c.heads, c.kv_heads, true}, {q, k, v});
  return net.linear(name + ".o", y, c.hidden, c.stddev, c.output_bias);
}

TensorId gated_feed_forward(Net& net, const std::string& name, TensorId x, const DecoderConfig& c) {
  GraphBuilder& b = net.builder();
  if (c.experts > 0) {
    const Init init{Init::Kind::kNormal, c.stddev};
    const Shape in{{c.experts, c.intermediate, c.hidden}},
        out{{c.experts, c.hidden, c.intermediate}};
    const TensorId router = b.parameter(name + ".router", Shape{{c.experts, c.hidden}}, init);
    const TensorId gate = b.parameter(name + ".experts_gate", in, init);
    const TensorId up = b.parameter(name + ".experts_up", in, init);
    const TensorId down = b.parameter(name + ".experts_down", out, init);
    return b.forward(name + ".moe", OpKind::kMoeFfn,
                     MoeAttrs{c.experts, c.experts_per_token, c.intermediate},
                     {x, router, gate, up, down});
  }
  const TensorId gate =
      net.unary(name + ".silu", OpKind::kSilu,
                net.linear(name + ".gate", x, c.intermediate, c.stddev, c.mlp_bias));
  const TensorId up = net.linear(name + ".up", x, c.intermediate, c.stddev, c.mlp_bias);
  const TensorId product = b.forward(name + ".gated", OpKind::kMul, NoAttrs{}, {gate, up});
  return net.linear(name + ".down", product, c.hidden, c.stddev, c.mlp_bias);
}

/// Projects to queries, keys and values in one product, attends, projects back.
TensorId joint_attention(Net& net, const std::string& name, TensorId x,
                         const LearnedPositionConfig& c, bool causal, double output_stddev) {
  GraphBuilder& b = net.builder();
  const TensorId qkv = net.linear(name + ".qkv", x, 3 * c.hidden, c.stddev);
  const std::vector<TensorId> parts = b.op(name + ".split", OpKind::kSplit, OpPass::kForward,
                                           SplitAttrs{1, {c.hidden, c.hidden, c.hidden}}, {qkv});
  const TensorId attended =
      b.forward(name + ".attention", OpKind::kAttention, AttentionAttrs{c.heads, c.heads, causal},
                {parts[0], parts[1], parts[2]});
  return net.linear(name + ".proj", attended, c.hidden, output_stddev);
}

TensorId gelu_feed_forward(Net& net, const std::string& name, TensorId x,
                           const LearnedPositionConfig& c, double output_stddev) {
  const TensorId hidden = net.unary(name + ".gelu", OpKind::kGelu,
                                    net.linear(name + ".up", x, c.intermediate, c.stddev));
  return net.linear(name + ".down", hidden, c.hidden, output_stddev);
}

}  // namespace

Result<ModelGraph> build_decoder(const DecoderConfig& c) {
  Net net(c.name);
  const TensorId tokens = net.ids("tokens", c.sequence);
  const TensorId words = net.table("embed_tokens", c.vocabulary, c.hidden, c.stddev);
  TensorId x = net.embedding("embed", tokens, words);
  for (std::int64_t layer = 0; layer < c.layers; ++layer) {
    const std::string block = fmt::format("layer{}", layer);
    const TensorId before = rms_norm(net, block + ".ln1", x, c.hidden, c.norm_epsilon);
    x = net.add(block + ".add1", x, decoder_attention(net, block, before, c));
    const TensorId after = rms_norm(net, block + ".ln2", x, c.hidden, c.norm_epsilon);
    x = net.add(block + ".add2", x, gated_feed_forward(net, block, after, c));
  }
  x = rms_norm(net, "norm", x, c.hidden, c.norm_epsilon);
  const TensorId logits = c.tied
                              ? net.builder().forward("head", OpKind::kLinear,
                                                      LinearAttrs{c.vocabulary, false}, {x, words})
                              : net.linear("head", x, c.vocabulary, c.stddev, false);
  return std::move(net).finish_classifier(logits);
}

Result<ModelGraph> build_gpt2(const LearnedPositionConfig& c) {
  // Residual projections start smaller by the number of residual layers (Radford et al. 2019,
  // section 2.3).
  const double output_stddev = c.stddev / std::sqrt(2.0 * static_cast<double>(c.layers));
  Net net(c.name);
  GraphBuilder& b = net.builder();
  const TensorId tokens = net.ids("tokens", c.sequence);
  const TensorId words = net.table("wte", c.vocabulary, c.hidden, c.stddev);
  const TensorId positions = net.table("wpe", c.positions, c.hidden, c.stddev);
  TensorId x = b.forward("position", OpKind::kPositionAdd, NoAttrs{},
                         {net.embedding("embed", tokens, words), positions});
  for (std::int64_t layer = 0; layer < c.layers; ++layer) {
    const std::string block = fmt::format("h{}", layer);
    const TensorId before = net.layer_norm(block + ".ln1", x, c.norm_epsilon);
    x = net.add(block + ".add1", x, joint_attention(net, block, before, c, true, output_stddev));
    const TensorId after = net.layer_norm(block + ".ln2", x, c.norm_epsilon);
    x = net.add(block + ".add2", x, gelu_feed_forward(net, block, after, c, output_stddev));
  }
  x = net.layer_norm("ln_f", x, c.norm_epsilon);
  const TensorId logits =
      c.tied ? b.forward("head", OpKind::kLinear, LinearAttrs{c.vocabulary, false}, {x, words})
             : net.linear("head", x, c.vocabulary, c.stddev, false);
  return std::move(net).finish_classifier(logits);
}

Result<ModelGraph> build_bert(const LearnedPositionConfig& c) {
  Net net(c.name);
  GraphBuilder& b = net.builder();
  const TensorId tokens = net.ids("tokens", c.sequence);
  const TensorId types = net.ids("token_types", c.sequence);
  const TensorId words = net.table("word_embeddings", c.vocabulary, c.hidden, c.stddev);
  TensorId x =
      net.add("embed", net.embedding("embed_words", tokens, words),
              net.embedding("embed_types", types,
                            net.table("type_embeddings", c.token_types, c.hidden, c.stddev)));
  x = b.forward("position", OpKind::kPositionAdd, NoAttrs{},
                {x, net.table("position_embeddings", c.positions, c.hidden, c.stddev)});
  x = net.layer_norm("embed.ln", x, c.norm_epsilon);
  for (std::int64_t layer = 0; layer < c.layers; ++layer) {
    const std::string block = fmt::format("layer{}", layer);
    const TensorId attended = joint_attention(net, block, x, c, false, c.stddev);
    x = net.layer_norm(block + ".ln1", net.add(block + ".add1", x, attended), c.norm_epsilon);
    const TensorId fed = gelu_feed_forward(net, block, x, c, c.stddev);
    x = net.layer_norm(block + ".ln2", net.add(block + ".add2", x, fed), c.norm_epsilon);
  }
  // The masked-language-model head: transform, then the decoder with a bias of its own.
  x = net.unary("head.gelu", OpKind::kGelu, net.linear("head.transform", x, c.hidden, c.stddev));
  x = net.layer_norm("head.ln", x, c.norm_epsilon);
  if (!c.tied) {
    const TensorId head = net.linear("head", x, c.vocabulary, c.stddev);
    return std::move(net).finish_classifier(head);
  }
  const TensorId bias = b.parameter("head.bias", Shape{{c.vocabulary}}, {});
  return std::move(net).finish_classifier(
      b.forward("head", OpKind::kLinear, LinearAttrs{c.vocabulary, true}, {x, words, bias}));
}

}  // namespace pluto
