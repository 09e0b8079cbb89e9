#include <fmt/format.h>

#include <cmath>

#include "model/zoo_blocks.h"
#include "model/zoo_families.h"

namespace pluto {

namespace {

constexpr double kStddev = 0.02;  // Radford et al. 2019 and Devlin et al. 2019

TransformerSize sized(const ZooOptions& options, TransformerSize size) {
  size.layers = options.layers.value_or(size.layers);
  size.width = options.width_model.value_or(size.width);
  size.heads = options.heads.value_or(size.heads);
  size.vocabulary = options.vocabulary.value_or(size.vocabulary);
  size.sequence = options.sequence.value_or(size.sequence);
  return size;
}

/// Projects to queries, keys and values in one product, attends, projects back.
TensorId self_attention(Net& net, const std::string& name, TensorId x, const TransformerSize& size,
                        bool causal, double output_stddev) {
  GraphBuilder& b = net.builder();
  const TensorId qkv = net.linear(name + ".qkv", x, 3 * size.width, kStddev);
  const std::vector<TensorId> parts =
      b.op(name + ".split", OpKind::kSplit, OpPass::kForward,
           SplitAttrs{1, {size.width, size.width, size.width}}, {qkv});
  const TensorId attended = b.forward(name + ".attention", OpKind::kAttention,
                                      AttentionAttrs{size.heads, size.heads, causal}, parts);
  return net.linear(name + ".proj", attended, size.width, output_stddev);
}

TensorId feed_forward(Net& net, const std::string& name, TensorId x, const TransformerSize& size,
                      double output_stddev) {
  const TensorId hidden = net.unary(name + ".gelu", OpKind::kGelu,
                                    net.linear(name + ".up", x, 4 * size.width, kStddev));
  return net.linear(name + ".down", hidden, size.width, output_stddev);
}

}  // namespace

Result<ModelGraph> build_gpt2(const ZooOptions& options, const std::string& name,
                              TransformerSize published) {
  const TransformerSize size = sized(options, published);
  // Residual projections start smaller by the number of residual layers (Radford et al. 2019,
  // section 2.3).
  const double output_stddev =
      kStddev / std::sqrt(2.0 * static_cast<double>(std::max<std::int64_t>(1, size.layers)));
  Net net(name);
  const TensorId tokens = net.ids("tokens", size.sequence);
  const TensorId words = net.table("wte", size.vocabulary, size.width, kStddev);
  const TensorId positions = net.table(
      "wpe", std::max(size.sequence, options.sequence ? size.sequence : published.sequence),
      size.width, 0.01);
  TensorId x = net.builder().forward("position", OpKind::kPositionAdd, NoAttrs{},
                                     {net.embedding("embed", tokens, words), positions});
  for (std::int64_t layer = 0; layer < size.layers; ++layer) {
    const std::string block = fmt::format("h{}", layer);
    x = net.add(
        block + ".add1", x,
        self_attention(net, block, net.layer_norm(block + ".ln1", x), size, true, output_stddev));
    x = net.add(block + ".add2", x,
                feed_forward(net, block, net.layer_norm(block + ".ln2", x), size, output_stddev));
  }
  x = net.layer_norm("ln_f", x);
  const TensorId logits = net.builder().forward("head", OpKind::kLinear,
                                                LinearAttrs{size.vocabulary, false}, {x, words});
  return std::move(net).finish_classifier(logits);
}

Result<ModelGraph> build_bert(const ZooOptions& options, const std::string& name,
                              TransformerSize published) {
  const TransformerSize size = sized(options, published);
  constexpr double kEpsilon = 1e-12;
  constexpr std::int64_t kPositions = 512, kTypes = 2;
  Net net(name);
  const TensorId tokens = net.ids("tokens", size.sequence);
  const TensorId types = net.ids("token_types", size.sequence);
  const TensorId words = net.table("word_embeddings", size.vocabulary, size.width, kStddev);
  TensorId x = net.add("embed", net.embedding("embed_words", tokens, words),
                       net.embedding("embed_types", types,
                                     net.table("type_embeddings", kTypes, size.width, kStddev)));
  const TensorId positions =
      net.table("position_embeddings", std::max(kPositions, size.sequence), size.width, kStddev);
  x = net.builder().forward("position", OpKind::kPositionAdd, NoAttrs{}, {x, positions});
  x = net.layer_norm("embed.ln", x, kEpsilon);
  // Fine-tuning runs with the dropout of pre-training (Devlin et al. 2019, appendix A).
  const auto drop = [&](const std::string& of, TensorId y) {
    return options.classes ? net.dropout(of + ".dropout", y, 0.1) : y;
  };
  x = drop("embed", x);
  for (std::int64_t layer = 0; layer < size.layers; ++layer) {
    const std::string block = fmt::format("layer{}", layer);
    x = net.layer_norm(
        block + ".ln1",
        net.add(block + ".add1", x,
                drop(block + ".attention", self_attention(net, block, x, size, false, kStddev))),
        kEpsilon);
    x = net.layer_norm(block + ".ln2",
                       net.add(block + ".add2", x,
                               drop(block + ".ffn", feed_forward(net, block, x, size, kStddev))),
                       kEpsilon);
  }
  if (options.classes) {  // fine-tuning: classes for every token, no vocabulary
    return std::move(net).finish_classifier(net.linear("head", x, *options.classes, kStddev));
  }
  // The masked-language-model head: transform, then the tied decoder with a bias of its own.
  x = net.layer_norm(
      "head.ln",
      net.unary("head.gelu", OpKind::kGelu, net.linear("head.transform", x, size.width, kStddev)),
      kEpsilon);
  const TensorId bias = net.builder().parameter("head.bias", Shape{{size.vocabulary}}, {});
  const TensorId logits = net.builder().forward(
      "head", OpKind::kLinear, LinearAttrs{size.vocabulary, true}, {x, words, bias});
  return std::move(net).finish_classifier(logits);
}

}  // namespace pluto
