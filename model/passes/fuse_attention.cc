#include "model/passes/fuse_attention.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "model/passes/graph_rewrite.h"

namespace pluto {
namespace {

struct HeadSizes {
  std::int64_t positions = 1, heads = 1, width = 1;  // T, h, d
  Shape joined() const { return {{positions, heads * width}}; }
};

/// What an axis runs over: factors of (positions, heads, width), outermost first. Factors of size 1
/// are left out.
enum class Factor { kPositions, kHeads, kWidth };
using Factors = std::vector<Factor>;
using Axes = std::vector<Factors>;

std::int64_t size_of(Factor factor, const HeadSizes& sizes) {
  switch (factor) {
    case Factor::kPositions:
      return sizes.positions;
    case Factor::kHeads:
      return sizes.heads;
    case Factor::kWidth:
      return sizes.width;
  }
  return 1;
}

Factors in_order(std::initializer_list<Factor> all, const HeadSizes& sizes) {
  Factors factors;
  std::copy_if(all.begin(), all.end(), std::back_inserter(factors),
               [&](Factor factor) { return size_of(factor, sizes) > 1; });
  return factors;
}

Factors flat(const Axes& axes) {
  Factors factors;
  for (const Factors& axis : axes) factors.insert(factors.end(), axis.begin(), axis.end());
  return factors;
}

/// Memory in this order, seen with these dims; nullopt when an axis would cut a factor.
std::optional<Axes> grouped(const Factors& factors, const Shape& shape, const HeadSizes& sizes) {
  Axes axes;
  auto next = factors.begin();
  for (std::int64_t dim : shape.dims) {
    axes.emplace_back();
    std::int64_t size = 1;
    while (size < dim && next != factors.end()) {
      size *= size_of(*next, sizes);
      axes.back().push_back(*next++);
    }
    if (size != dim) return std::nullopt;
  }
  return next == factors.end() ? std::optional(axes) : std::nullopt;
}

bool moves_data_only(const Op& op) {
  return op.kind == OpKind::kReshape || op.kind == OpKind::kTranspose;
}

/// The axes after a reshape or transpose.
std::optional<Axes> moved(const Axes& axes, const Op& op, const Graph& graph,
                          const HeadSizes& sizes) {
  if (op.kind == OpKind::kReshape) {
    return grouped(flat(axes), graph.tensor(op.outputs[0]).type.shape, sizes);
  }
  Axes turned;
  for (std::int64_t axis : std::get<TransposeAttrs>(op.attrs).permutation) {
    turned.push_back(axes[static_cast<std::size_t>(axis)]);
  }
  return turned;
}

/// (..., T, d) with the heads before, as a batched product wants it; `turned`: (..., d, T).
bool is_by_head(Axes axes, const HeadSizes& sizes, bool turned) {
  if (axes.size() < 2) return false;
  const std::size_t n = axes.size();
  if (turned) std::swap(axes[n - 1], axes[n - 2]);
  const Axes leading(axes.begin(), axes.end() - 2);
  return flat(leading) == in_order({Factor::kHeads}, sizes) &&
         axes[n - 2] == in_order({Factor::kPositions}, sizes) &&
         axes[n - 1] == in_order({Factor::kWidth}, sizes);
}

/// One match: what the attention node reads and replaces.
struct Match {
  HeadSizes sizes;
  OpId scores, softmax, context;
  std::vector<TensorId> sources;  // of q, k, v: (T, h d), perhaps under another shape
  TensorId result;                // as a source
  std::set<OpId> joining;         // from context to result
  std::set<OpId> splitting;       // from the sources to the products
};

class AttentionSearch {
 public:
  explicit AttentionSearch(const ModelGraph& model) : model_(model), graph_(model.graph) {}

  std::optional<Match> at(const Op& softmax) const {
    if (softmax.kind != OpKind::kSoftmax) return std::nullopt;
    const auto& producer = graph_.tensor(softmax.inputs[0]).producer;
    const Op* context = only_reader(softmax.outputs[0]);
    if (!producer || context == nullptr || only_reader(softmax.inputs[0]) == nullptr) {
      return std::nullopt;
    }
    const Op& scores = graph_.op(*producer);
    if (scores.kind != OpKind::kMatMul || context->kind != OpKind::kMatMul ||
        context->inputs[0] != softmax.outputs[0] || context->inputs[1] == softmax.outputs[0]) {
      return std::nullopt;
    }
    const auto& first = std::get<MatMulAttrs>(scores.attrs);
    const auto& second = std::get<MatMulAttrs>(context->attrs);
    const auto& out = shape(context->outputs[0]).dims;
    Match match{{}, scores.id, softmax.id, context->id, {}, {}, {}, {}};
    match.sizes.width = out.back();
    match.sizes.positions = out[out.size() - 2];
    match.sizes.heads =
        shape(context->outputs[0]).elements() / (match.sizes.positions * match.sizes.width);
    const bool square = shape(softmax.outputs[0]).dims.back() == match.sizes.positions;
    const double scale = first.scale * std::sqrt(static_cast<double>(match.sizes.width));
    constexpr double kRounding = 1e-6;  // constants of f32 files
    if (!square || std::abs(scale - 1) > kRounding || second.scale != 1 || second.transpose_a) {
      return std::nullopt;
    }
    // k' has its positions last.
    const bool found = add_source(scores.inputs[0], first.transpose_a, match) &&
                       add_source(scores.inputs[1], !first.transpose_b, match) &&
                       add_source(context->inputs[1], second.transpose_b, match) &&
                       find_result(match);
    return found ? std::optional(match) : std::nullopt;
  }

 private:
  const Shape& shape(TensorId id) const { return graph_.tensor(id).type.shape; }
  bool is_answer(TensorId id) const { return id == model_.logits || id == model_.loss; }

  const Op* only_reader(TensorId id) const {
    const auto& readers = graph_.consumers(id);
    return readers.size() == 1 && !is_answer(id) ? &graph_.op(readers.front()) : nullptr;
  }

  /// The nearest tensor that is (T, h d) in memory before it was turned into the operand; a further
  /// one that has that shape is better.
  bool add_source(TensorId operand, bool turned, Match& match) const {
    const HeadSizes& sizes = match.sizes;
    const Factors joined = in_order({Factor::kPositions, Factor::kHeads, Factor::kWidth}, sizes);
    std::optional<TensorId> source;
    std::vector<const Op*> path;  // last first
    std::size_t used = 0;
    for (TensorId at = operand;;) {
      auto axes = grouped(joined, shape(at), sizes);
      for (auto op = path.rbegin(); op != path.rend() && axes; ++op) {
        axes = moved(*axes, **op, graph_, sizes);
      }
      const bool exact = shape(at) == sizes.joined();
      if (axes && is_by_head(*axes, sizes, turned) && (!source || exact)) {
        source = at;
        used = path.size();
        if (exact) break;
      }
      const auto& producer = graph_.tensor(at).producer;
      if (!producer || !moves_data_only(graph_.op(*producer))) break;
      path.push_back(&graph_.op(*producer));
      at = path.back()->inputs[0];
    }
    if (!source) return false;
    match.sources.push_back(*source);
    for (std::size_t i = 0; i < used; ++i) match.splitting.insert(path[i]->id);
    return true;
  }

  bool find_result(Match& match) const {
    const HeadSizes& sizes = match.sizes;
    TensorId at = graph_.op(match.context).outputs[0];
    std::optional<Axes> axes = grouped(
        in_order({Factor::kHeads, Factor::kPositions, Factor::kWidth}, sizes), shape(at), sizes);
    const Factors joined = in_order({Factor::kPositions, Factor::kHeads, Factor::kWidth}, sizes);
    std::set<OpId> passed;
    while (axes) {
      const bool exact = shape(at) == sizes.joined();
      if (flat(*axes) == joined) {
        match.result = at;
        match.joining = passed;
        if (exact) break;
      }
      const Op* next = only_reader(at);
      if (next == nullptr || !moves_data_only(*next)) break;
      axes = moved(*axes, *next, graph_, sizes);
      passed.insert(next->id);
      at = next->outputs[0];
    }
    return match.result.valid();
  }

  const ModelGraph& model_;
  const Graph& graph_;
};

/// The nodes that stand where the last product stood.
std::vector<OpId> replacement(const Match& match, const Graph& graph, GraphRewrite& rewrite) {
  const std::string& name = graph.op(match.context).name;
  const Tensor& result = graph.tensor(match.result);
  TensorType joined = result.type;
  joined.shape = match.sizes.joined();
  std::vector<OpId> nodes;
  const auto reshaped = [&](const std::string& suffix, TensorId from, const TensorType& type) {
    nodes.push_back(rewrite.add_op(name + suffix, OpKind::kReshape, OpPass::kForward,
                                   ReshapeAttrs{type.shape.dims}, {from}, {type}));
    return rewrite.op(nodes.back()).outputs[0];
  };
  std::vector<TensorId> operands;
  for (std::size_t i = 0; i < match.sources.size(); ++i) {
    const TensorId source = match.sources[i];
    const bool exact = graph.tensor(source).type.shape == joined.shape;
    const char* suffixes[] = {".q", ".k", ".v"};
    operands.push_back(exact ? source : reshaped(suffixes[i], source, joined));
  }
  const TensorType row_sums{
      {{match.sizes.heads, match.sizes.positions}}, DType::kF32, joined.batch_multiple};
  const OpId attention = rewrite.add_op(name, OpKind::kAttention, OpPass::kForward,
                                        AttentionAttrs{match.sizes.heads, match.sizes.heads, false},
                                        operands, {joined, row_sums});
  nodes.push_back(attention);
  OpId last = attention;
  if (result.type.shape != joined.shape) {
    reshaped(".shape", rewrite.op(attention).outputs[0], result.type);
    last = nodes.back();
  }
  rewrite.op(last).outputs[0] = match.result;
  return nodes;
}

}  // namespace

Result<ModelGraph> fuse_attention(const ModelGraph& model) {
  const Graph& graph = model.graph;
  const AttentionSearch search(model);
  GraphRewrite rewrite(graph);
  std::vector<bool> dropped(graph.ops().size()), unread(graph.ops().size());
  std::vector<std::vector<OpId>> instead(graph.ops().size());
  bool found = false;
  for (const Op& op : graph.ops()) {
    const auto match = search.at(op);
    if (!match) continue;
    found = true;
    for (OpId id : {match->scores, match->softmax, match->context}) dropped[id.index()] = true;
    for (OpId id : match->joining) dropped[id.index()] = true;
    for (OpId id : match->splitting) unread[id.index()] = true;
    instead[match->context.index()] = replacement(*match, graph, rewrite);
  }
  if (!found) return model;
  // What split the heads goes, from the last on, unless something else or a new node reads it.
  std::vector<bool> read(graph.tensors().size());
  const auto mark = [&](OpId id) {
    for (TensorId input : rewrite.op(id).inputs) {
      if (input.index() < read.size()) read[input.index()] = true;
    }
  };
  std::vector<OpId> order;
  for (std::size_t i = graph.ops().size(); i-- > 0;) {
    const Op& op = graph.ops()[i];
    for (auto added = instead[i].rbegin(); added != instead[i].rend(); ++added) {
      order.push_back(*added);
      mark(*added);
    }
    const TensorId made = op.outputs.empty() ? TensorId{} : op.outputs[0];
    const bool needed =
        made == model.logits || made == model.loss || (made.valid() && read[made.index()]);
    if (dropped[i] || (unread[i] && !needed)) continue;
    order.push_back(op.id);
    mark(op.id);
  }
  std::reverse(order.begin(), order.end());
  PLUTO_ASSIGN(auto rewritten, rewrite.build(order));
  return carry_over(model, std::move(rewritten));
}

}  // namespace pluto
