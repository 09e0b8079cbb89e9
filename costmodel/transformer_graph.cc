#include "costmodel/transformer_graph.h"

#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <vector>

namespace pluto {

namespace {

/// Parameters of the shape may differ from those of the graph by so much.
constexpr double kUnexplained = 0.01;

Error none(const ModelGraph& model, const std::string& reason) {
  return unsupported(fmt::format("{} is no transformer of equal layers: {}", model.name, reason),
                     "the closed form prices GPT, BERT, Llama, Qwen, Mistral and Mixtral");
}

struct Parts {
  std::vector<const Op*> attention;
  const Op* table = nullptr;     ///< the token table: the largest of the embeddings
  std::vector<const Op*> after;  ///< linear layers between the first attention and the second
  const Op* experts = nullptr;
  const Op* last = nullptr;  ///< last linear layer
  bool gated = false;        ///< a product of two branches in the first layer
  bool positions = false;    ///< a learned table
};

std::int64_t rows(const Graph& graph, const Op& embedding) {
  return graph.tensor(embedding.inputs[1]).type.shape.dims.front();
}

/// Errors: an op that no transformer has.
Result<Parts> parts_of(const ModelGraph& model) {
  const Graph& graph = model.graph;
  Parts parts;
  for (const Op& op : graph.ops()) {
    switch (op.kind) {
      case OpKind::kAttention:
        parts.attention.push_back(&op);
        break;
      case OpKind::kEmbedding:
        if (!parts.table || rows(graph, op) > rows(graph, *parts.table)) parts.table = &op;
        break;
      case OpKind::kPositionAdd:
        parts.positions = true;
        break;
      case OpKind::kLinear:
        if (parts.attention.size() == 1) parts.after.push_back(&op);
        parts.last = &op;
        break;
      case OpKind::kMul:
        if (parts.attention.size() == 1) parts.gated = true;
        break;
      case OpKind::kMoeFfn:
        if (parts.attention.size() == 1) parts.experts = &op;
        break;
      case OpKind::kConv2d:
      case OpKind::kLstm:
      case OpKind::kGru:
      case OpKind::kEmbeddingBag:
        return none(model, fmt::format("it has {} ({})", op.name, to_text(op.kind)));
      default:
        break;
    }
  }
  if (parts.attention.empty()) return none(model, "no attention");
  if (!parts.table) return none(model, "no token table");
  if (parts.after.empty()) return none(model, "no linear layer after attention");
  return parts;
}

int whole(std::int64_t value) { return static_cast<int>(value); }

}  // namespace

Result<TransformerShape> transformer_shape(const ModelGraph& model) {
  const Graph& graph = model.graph;
  PLUTO_ASSIGN(const Parts parts, parts_of(model));
  const auto shape_of = [&](TensorId id) { return graph.tensor(id).type.shape.dims; };
  const Op& attention = *parts.attention.front();
  const auto& attrs = std::get<AttentionAttrs>(attention.attrs);
  const auto query = shape_of(attention.inputs[0]);
  for (const Op* other : parts.attention) {
    if (other->attrs != attention.attrs || shape_of(other->inputs[0]) != query) {
      return none(model, fmt::format("{} differs from {}", other->name, attention.name));
    }
  }
  const auto table = shape_of(parts.table->inputs[1]);
  if (query.size() != 2 || table.size() != 2) return none(model, "its tensors have no sequence");

  TransformerShape shape;
  shape.layers = whole(static_cast<std::int64_t>(parts.attention.size()));
  shape.vocabulary = whole(table[0]);
  shape.hidden = whole(table[1]);
  shape.sequence = whole(query[0]);
  shape.heads = whole(attrs.heads);
  shape.kv_heads = whole(attrs.kv_heads);
  shape.causal = attrs.causal;
  shape.learned_positions = parts.positions;
  if (query[1] != table[1]) {
    return none(model, fmt::format("heads of width {} where hidden / heads is {}",
                                   query[1] / attrs.heads, table[1] / attrs.heads));
  }
  // After attention: its projection, then the first (and, gated, the second) of the feed-forward
  // block.
  shape.biases = std::get<LinearAttrs>(parts.after.front()->attrs).bias;
  shape.gated = parts.gated;
  if (parts.experts) {
    const auto& moe = std::get<MoeAttrs>(parts.experts->attrs);
    shape.gated = true;
    shape.experts = whole(moe.experts);
    shape.experts_per_token = whole(moe.top_k);
    shape.ffn = whole(moe.intermediate);
  } else {
    if (parts.after.size() < 2) return none(model, "no feed-forward block after attention");
    shape.ffn = whole(std::get<LinearAttrs>(parts.after[1]->attrs).out_features);
  }
  if (std::get<LinearAttrs>(parts.last->attrs).out_features != shape.vocabulary) {
    return none(model, "its last linear layer has no output per word");
  }
  shape.tied_embedding = parts.last->inputs[1] == parts.table->inputs[1];

  const auto held = static_cast<double>(parameter_count(graph));
  const double explained = parameters(shape);
  if (std::abs(explained / held - 1) > kUnexplained) {
    return none(model, fmt::format("it has {:.1f} M parameters, equal layers of its dimensions "
                                   "have {:.1f} M",
                                   held / 1e6, explained / 1e6));
  }
  return shape;
}

}  // namespace pluto
