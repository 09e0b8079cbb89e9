#include "planner/layer_split.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "model/op.h"
#include "model/passes/shard.h"
#include "planner/graph_sharding.h"

namespace pluto {

namespace {

constexpr std::size_t kOwn = 0, kSplit = 1;
const Seconds kUnlawful(std::numeric_limits<double>::infinity());

/// What moving tensors takes, by the plan's ranks.
class Exchanges {
 public:
  Exchanges(const ModelGraph& model, const Plan& plan, bool factors, const CostSource& costs)
      : graph_(model.graph), plan_(plan), factors_(factors), costs_(costs) {}

  /// Of the gradient of a layer's weights, once a step.
  Seconds gradient(const Op& layer) const {
    const Seconds reduced =
        collective(CollectiveKind::kAllReduce, graph_.tensor(layer.inputs[1]).type.bytes(1));
    if (!factors_) return reduced;
    const Bytes pair = all(layer.inputs[0]) + all(layer.outputs[0]);
    return std::min(reduced, each(collective(CollectiveKind::kAllGather, pair)));
  }
  /// To and from a layer that sees the batches of all.
  Seconds gathered(TensorId id) const {
    return each(collective(CollectiveKind::kAllGather, all(id)) +
                collective(CollectiveKind::kReduceScatter, all(id)));
  }
  /// Back to the own batch, and its gradient.
  Seconds returned(TensorId id) const {
    return each(collective(CollectiveKind::kAllToAll, own(id)) * 2);
  }

 private:
  Bytes own(TensorId id) const { return graph_.tensor(id).type.bytes(plan_.micro_batch); }
  Bytes all(TensorId id) const { return Bytes(own(id).value() * plan_.layout.data); }
  Seconds each(Seconds one) const { return one * static_cast<double>(plan_.accumulation); }
  Seconds collective(CollectiveKind kind, Bytes bytes) const {
    CollectiveCall call;
    call.kind = kind;
    call.bytes = bytes;
    call.ranks = call.servers = plan_.layout.data;
    return costs_.collective(call, plan_.cluster).time;
  }

  const Graph& graph_;
  const Plan& plan_;
  bool factors_;
  const CostSource& costs_;
};

}  // namespace

std::vector<std::string> large_layers(const ModelGraph& model, int ranks) {
  std::map<TensorId, int> users;
  for (const Op& op : model.graph.ops()) {
    for (const TensorId input : op.inputs) ++users[input];
  }
  std::vector<std::string> names;
  for (const Op& op : model.graph.ops()) {
    if (op.kind != OpKind::kLinear) continue;
    const Tensor& weight = model.graph.tensor(op.inputs[1]);
    const bool large = weight.type.shape.elements() >= kLargeLayer;
    const bool even = std::get<LinearAttrs>(op.attrs).out_features % ranks == 0;
    if (large && even && users[op.inputs[1]] == 1) names.push_back(op.name);
  }
  return names;
}

Result<std::vector<std::string>> split_layers(const ModelGraph& model, const Plan& plan,
                                              bool factors_allowed, const CostSource& costs) {
  const auto large = large_layers(model, plan.layout.data);
  if (large.empty() || plan.layout.data == 1) return std::vector<std::string>();
  const std::set<std::string> may_split(large.begin(), large.end());
  const Exchanges exchanges(model, plan, factors_allowed, costs);
  const Graph& graph = model.graph;
  std::vector<std::vector<Seconds>> nodes;
  std::vector<ShardingEdge> edges;
  for (const Op& op : graph.ops()) {
    const bool layer = may_split.contains(op.name);
    const bool follows = is_element_wise(op.kind);
    nodes.push_back({Seconds()});
    if (layer) nodes.back() = {exchanges.gradient(op), Seconds()};
    if (follows) nodes.back() = {Seconds(), Seconds()};
    for (std::size_t i = 0; i < op.inputs.size(); ++i) {
      const TensorId input = op.inputs[i];
      const auto& producer = graph.tensor(input).producer;
      if (!producer) {
        // A sample of the data set has no gradient, but travels.
        if (layer && i == 0) nodes.back()[kSplit] += exchanges.gathered(input) / 2;
        if (follows) nodes.back()[kSplit] = kUnlawful;
        continue;
      }
      ShardingEdge edge{producer->index(), op.id.index(), {}};
      for (std::size_t from = 0; from < nodes[edge.from].size(); ++from) {
        const Seconds back = from == kSplit ? exchanges.returned(input) : Seconds();
        std::vector<Seconds> row{back};
        if (layer) row.push_back(exchanges.gathered(input));
        // An element-wise node does as what it reads.
        if (follows && from == kSplit) row = {kUnlawful, Seconds()};
        if (follows && from == kOwn) row = {Seconds(), kUnlawful};
        edge.cost.push_back(std::move(row));
      }
      edges.push_back(std::move(edge));
    }
  }
  PLUTO_ASSIGN(const auto chosen, choose_shardings(nodes, edges));
  std::vector<std::string> split;
  for (const Op& op : graph.ops()) {
    if (may_split.contains(op.name) && chosen.choice[op.id.index()] == kSplit) {
      split.push_back(op.name);
    }
  }
  return split;
}

}  // namespace pluto
