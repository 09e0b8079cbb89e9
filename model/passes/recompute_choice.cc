// Which activations are dropped after forward, and made again in backward.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <numeric>
#include <optional>

#include "model/op_schema.h"
#include "model/passes/recompute.h"

namespace pluto {
namespace {

bool is_alias(const Op& op) { return schema_of(op.kind).alias == OpSchema::Alias::kSameBytes; }

/// Element-wise, normalisation and pooling: a few FLOPs per element.
bool is_cheap(OpKind kind) {
  switch (kind) {
    case OpKind::kMaxPool:
    case OpKind::kAvgPool:
    case OpKind::kGlobalAvgPool:
    case OpKind::kBatchNorm:
    case OpKind::kLrn:
    case OpKind::kLayerNorm:
    case OpKind::kRmsNorm:
    case OpKind::kRelu:
    case OpKind::kGelu:
    case OpKind::kSilu:
    case OpKind::kSigmoid:
    case OpKind::kTanh:
    case OpKind::kDropout:
    case OpKind::kAdd:
    case OpKind::kMul:
    case OpKind::kPositionAdd:
      return true;
    default:
      return false;
  }
}

/// What may stand between the product of scores, the softmax and the product with the values.
bool belongs_to_scores(OpKind kind) {
  switch (kind) {
    case OpKind::kAdd:
    case OpKind::kMul:
    case OpKind::kDropout:
    case OpKind::kReshape:
    case OpKind::kCast:
      return true;
    default:
      return false;
  }
}

/// The forward nodes in order, and who reads what they make. Tensors that are the same bytes count
/// as one.
class Forward {
 public:
  explicit Forward(const TrainingGraph& training)
      : training_(training), graph_(training.graph), root_(graph_.tensors().size()) {
    std::iota(root_.begin(), root_.end(), std::size_t{0});
    place_.resize(graph_.ops().size());
    for (const Op& op : graph_.ops()) {
      if (!is_forward(op.id)) continue;
      place_[op.id.index()] = order_.size();
      order_.push_back(op.id);
      if (is_alias(op)) root_[op.outputs[0].index()] = root_[op.inputs[0].index()];
    }
    saved_.resize(graph_.tensors().size());
    last_reader_.resize(graph_.tensors().size());
    for (const Tensor& tensor : graph_.tensors()) {
      const std::size_t root = root_[tensor.id.index()];
      for (OpId reader : graph_.consumers(tensor.id)) {
        if (is_forward(reader)) {
          last_reader_[root] = std::max(last_reader_[root], place_[reader.index()] + 1);
        } else {
          saved_[root] = true;
        }
      }
    }
  }

  const Graph& graph() const { return graph_; }
  bool is_forward(OpId id) const { return training_.phase[id.index()] == OpPhase::kForward; }
  std::size_t size() const { return order_.size(); }
  const Op& op(std::size_t place) const { return graph_.op(order_[place]); }
  std::size_t place(OpId id) const { return place_[id.index()]; }

  /// Whether backward reads the tensor.
  bool saved(TensorId id) const { return saved_[root_[id.index()]]; }
  /// Bytes of a sample that later forward nodes read of what the node makes, with its statistics.
  std::int64_t kept_bytes(std::size_t place) const {
    return read_bytes(place) + (keeps_sides(place) ? side_bytes(place) : 0);
  }
  /// Bytes of a sample that backward reads of what the node makes.
  std::int64_t saved_bytes(std::size_t place) const {
    return bytes(place, [this](TensorId id) { return saved(id); });
  }
  /// As saved_bytes, when kept_bytes are kept.
  std::int64_t rest_bytes(std::size_t place) const {
    return keeps_sides(place) ? 0 : side_bytes(place);
  }
  /// Whether what forward does not read of a node stays with what it does.
  bool keeps_sides(std::size_t place) const {
    constexpr std::int64_t kSmall = 8;
    return side_bytes(place) * kSmall <= read_bytes(place);
  }
  bool is_read(TensorId id) const { return last_reader(id) > 0; }
  /// One past the place of the last forward node that reads a result of this one; 0: none.
  std::size_t last_reader(std::size_t place) const {
    std::size_t last = 0;
    for (TensorId id : op(place).outputs) last = std::max(last, last_reader(id));
    return last;
  }

 private:
  std::size_t last_reader(TensorId id) const { return last_reader_[root_[id.index()]]; }
  std::int64_t read_bytes(std::size_t place) const {
    return bytes(place, [this](TensorId id) { return is_read(id); });
  }
  std::int64_t side_bytes(std::size_t place) const {
    return bytes(place, [this](TensorId id) { return saved(id) && !is_read(id); });
  }
  template <class Counts>
  std::int64_t bytes(std::size_t place, Counts counts) const {
    if (is_alias(op(place))) return 0;
    std::int64_t sum = 0;
    for (TensorId id : op(place).outputs) {
      if (counts(id)) sum += graph_.tensor(id).type.bytes(1).value();
    }
    return sum;
  }

  const TrainingGraph& training_;
  const Graph& graph_;
  std::vector<OpId> order_;
  std::vector<std::size_t> place_;        // by OpId
  std::vector<std::size_t> root_;         // by TensorId: the first tensor of the same bytes
  std::vector<bool> saved_;               // by root
  std::vector<std::size_t> last_reader_;  // by root
};

/// The only activation among the operands; nullopt when there are more.
std::optional<TensorId> only_activation(const Graph& graph, const Op& op) {
  std::optional<TensorId> only;
  for (TensorId id : op.inputs) {
    if (graph.tensor(id).role != TensorRole::kActivation) continue;
    if (only) return std::nullopt;
    only = id;
  }
  return only;
}

/// From the product of scores to the last node before the product with the values; empty when the
/// softmax is not that of an attention.
std::vector<OpId> scores_around(const Forward& forward, const Op& softmax) {
  const Graph& graph = forward.graph();
  std::vector<OpId> core = {softmax.id};
  for (TensorId from = softmax.inputs[0];;) {
    const auto& producer = graph.tensor(from).producer;
    if (!producer) return {};
    const Op& op = graph.op(*producer);
    core.push_back(op.id);
    if (op.kind == OpKind::kMatMul) break;
    const auto next = only_activation(graph, op);
    if (!belongs_to_scores(op.kind) || !next) return {};
    from = *next;
  }
  for (TensorId to = softmax.outputs[0];;) {
    const Op* reader = nullptr;
    for (OpId id : graph.consumers(to)) {
      if (!forward.is_forward(id)) continue;
      if (reader != nullptr) return {};
      reader = &graph.op(id);
    }
    if (reader == nullptr) return {};
    if (reader->kind == OpKind::kMatMul) return core;
    if (!belongs_to_scores(reader->kind) || !only_activation(graph, *reader)) return {};
    core.push_back(reader->id);
    to = reader->outputs[0];
  }
}

/// The nodes of each attention, in order.
std::vector<std::vector<OpId>> attention_cores(const Forward& forward) {
  std::vector<std::vector<OpId>> cores;
  for (std::size_t i = 0; i < forward.size(); ++i) {
    const Op& op = forward.op(i);
    if (op.kind == OpKind::kAttention) cores.push_back({op.id});
    if (op.kind != OpKind::kSoftmax) continue;
    auto core = scores_around(forward, op);
    if (!core.empty()) cores.push_back(std::move(core));
  }
  return cores;
}

/// Operands of a node with several must be kept themselves: a chain of residual additions would
/// otherwise be repeated from its beginning.
std::vector<bool> cheap_nodes(const Forward& forward) {
  const Graph& graph = forward.graph();
  std::vector<bool> chosen(graph.ops().size());
  for (std::size_t i = 0; i < forward.size(); ++i) {
    const Op& op = forward.op(i);
    const auto repeated = [&](TensorId id) {
      const auto& producer = graph.tensor(id).producer;
      return producer && chosen[producer->index()];
    };
    if (is_alias(op)) {
      chosen[op.id.index()] = repeated(op.inputs[0]);
      continue;
    }
    const bool single = only_activation(graph, op).has_value();
    chosen[op.id.index()] =
        is_cheap(op.kind) && std::all_of(op.inputs.begin(), op.inputs.end(), [&](TensorId id) {
          if (graph.tensor(id).role != TensorRole::kActivation) return true;
          return repeated(id) ? single : forward.saved(id);
        });
  }
  return chosen;
}

/// The last of the narrowest places in [begin, end].
std::size_t narrowest(const std::vector<std::int64_t>& width, std::size_t begin, std::size_t end) {
  std::size_t best = begin;
  for (std::size_t cut = begin; cut <= end; ++cut) {
    if (width[cut] <= width[best]) best = cut;
  }
  return best;
}

/// By place: bytes that are made before and read at or after it.
std::vector<std::int64_t> widths(const Forward& forward) {
  std::vector<std::int64_t> change(forward.size() + 1);
  for (std::size_t i = 0; i < forward.size(); ++i) {
    const std::size_t last = forward.last_reader(i);
    if (last <= i + 1) continue;
    change[i + 1] += forward.kept_bytes(i);
    change[last] -= forward.kept_bytes(i);
  }
  std::partial_sum(change.begin(), change.end(), change.begin());
  return change;
}

/// Cuts before each layer and after the last.
std::vector<std::size_t> layer_cuts(const Forward& forward,
                                    const std::vector<std::vector<OpId>>& cores) {
  const auto width = widths(forward);
  std::vector<std::size_t> cuts;
  std::size_t begin = 1;
  for (const auto& core : cores) {
    const std::size_t attention = forward.place(*std::min_element(core.begin(), core.end()));
    if (attention >= begin) cuts.push_back(narrowest(width, begin, attention));
    begin = attention + 1;
  }
  if (cuts.empty()) return cuts;
  // Layers are alike: the last ends as far from its beginning as the one before, where that is as
  // narrow.
  const std::size_t layer = cuts.size() > 1 ? cuts.back() - cuts[cuts.size() - 2] : forward.size();
  std::optional<std::size_t> end;
  for (std::size_t cut = begin; cut < forward.size(); ++cut) {
    if (width[cut] != width[cuts.back()]) continue;
    if (!end || cut <= cuts.back() + layer) end = cut;
  }
  if (end) cuts.push_back(*end);
  return cuts;
}

/// A node as the choice of cuts sees it.
struct Piece {
  std::size_t last_reader = 0;  // one past its place
  std::int64_t kept = 0, rest = 0, saved = 0;
};

std::vector<Piece> pieces_of(const Forward& forward) {
  std::vector<Piece> pieces;
  for (std::size_t i = 0; i < forward.size(); ++i) {
    pieces.push_back({forward.last_reader(i), forward.kept_bytes(i), forward.rest_bytes(i),
                      forward.saved_bytes(i)});
  }
  return pieces;
}

struct Segments {
  std::vector<std::size_t> cuts;
  std::int64_t kept = 0, largest = 0;
  std::int64_t total() const { return kept + largest; }
};

/// The best segments of the nodes before a place: where the last begins, and what they hold.
struct Partial {
  std::size_t begin = 0;
  std::int64_t kept = 0, largest = 0;
  bool better_than(const Partial& other) const {
    return kept < other.kept || (kept == other.kept && largest <= other.largest);
  }
};

/// The cuts that keep least while no segment saves more than `budget`; a single node may.
Segments cuts_within(const std::vector<Piece>& pieces, std::int64_t budget) {
  const std::size_t n = pieces.size();
  std::vector<Partial> best(n + 1);
  for (std::size_t end = 1; end <= n; ++end) {
    std::int64_t crossing = 0, inside = 0;
    for (std::size_t begin = end; begin-- > 0;) {
      const bool crosses = end < n && pieces[begin].last_reader > end;
      crossing += crosses ? pieces[begin].kept : 0;
      inside += crosses ? pieces[begin].rest : pieces[begin].saved;
      if (inside > budget && begin + 1 < end) break;
      const Partial with{begin, best[begin].kept + crossing, std::max(best[begin].largest, inside)};
      if (begin + 1 == end || with.better_than(best[end])) best[end] = with;
    }
  }
  Segments segments{{}, best[n].kept, best[n].largest};
  for (std::size_t end = n; end > 0; end = best[end].begin) {
    segments.cuts.push_back(best[end].begin);
  }
  std::reverse(segments.cuts.begin(), segments.cuts.end());
  return segments;
}

/// Cuts from the beginning to where the last segment, which is not repeated, begins.
std::vector<std::size_t> segment_cuts(const Forward& forward) {
  const std::vector<Piece> pieces = pieces_of(forward);
  std::int64_t total = 0;
  for (const Piece& piece : pieces) total += piece.saved;
  Segments best = cuts_within(pieces, total);
  // What is kept only grows as segments shrink.
  for (Segments next = best; next.largest > 0;) {
    const std::int64_t budget = next.largest - 1;
    next = cuts_within(pieces, budget);
    if (next.total() < best.total()) best = next;
    if (next.largest > budget || next.kept >= best.total()) break;
  }
  return best.cuts;
}

/// All that is made between the first and the last cut, except what crosses the end of its segment.
std::vector<bool> made_between(const Forward& forward, const std::vector<std::size_t>& cuts) {
  std::vector<bool> dropped(forward.graph().tensors().size());
  for (std::size_t s = 0; s + 1 < cuts.size(); ++s) {
    for (std::size_t i = cuts[s]; i < cuts[s + 1]; ++i) {
      const bool crosses = forward.last_reader(i) > cuts[s + 1];
      for (TensorId id : forward.op(i).outputs) {
        const bool kept = crosses && (forward.is_read(id) || forward.keeps_sides(i));
        dropped[id.index()] = !kept;
      }
    }
  }
  return dropped;
}

bool has_recurrent_layer(const Forward& forward) {
  for (std::size_t i = 0; i < forward.size(); ++i) {
    const OpKind kind = forward.op(i).kind;
    if (kind == OpKind::kLstm || kind == OpKind::kGru) return true;
  }
  return false;
}

}  // namespace

std::vector<bool> dropped_activations(const TrainingGraph& training, Recompute recompute) {
  const Graph& graph = training.graph;
  std::vector<bool> dropped(graph.tensors().size());
  if (recompute == Recompute::kNone) return dropped;
  const Forward forward(training);
  if (forward.size() == 0) return dropped;
  const auto drop = [&](OpId id) {
    for (TensorId output : graph.op(id).outputs) dropped[output.index()] = true;
  };
  const auto cores = attention_cores(forward);
  if (recompute == Recompute::kFull) {
    const bool layers = !cores.empty() && !has_recurrent_layer(forward);
    dropped = made_between(forward, layers ? layer_cuts(forward, cores) : segment_cuts(forward));
  } else if (cores.empty()) {
    const auto cheap = cheap_nodes(forward);
    for (const Op& op : graph.ops()) {
      if (cheap[op.id.index()]) drop(op.id);
    }
  } else {
    for (const auto& core : cores) std::for_each(core.begin(), core.end(), drop);
  }
  // What a node received, or made while it rewrote something else than running statistics, cannot
  // be made again.
  for (const Op& op : graph.ops()) {
    const bool rewrites = !op.updates.empty() && op.kind != OpKind::kBatchNorm;
    if (!rewrites && !op.inputs.empty()) continue;
    for (TensorId output : op.outputs) dropped[output.index()] = false;
  }
  return dropped;
}

}  // namespace pluto
