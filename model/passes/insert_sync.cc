#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "model/passes/graph_rewrite.h"
#include "model/passes/passes.h"

namespace pluto {
namespace {

/// The node that completes each gradient, by TensorId: its producer, or the accumulate node that
/// adds to it.
std::vector<std::optional<OpId>> completing_nodes(const Graph& graph) {
  std::vector<std::optional<OpId>> nodes(graph.tensors().size());
  for (const Op& op : graph.ops()) {
    for (TensorId id : op.outputs) nodes[id.index()] = op.id;
    if (op.kind != OpKind::kAccumulate && op.kind != OpKind::kStageReduce) continue;
    for (TensorId id : op.updates) nodes[id.index()] = op.id;
  }
  return nodes;
}

/// The linear backward_weight that alone makes the gradient of `parameter`, if there is one.
std::optional<OpId> factor_node(const TrainingGraph& training, TensorId parameter,
                                OpId completing) {
  const Graph& graph = training.graph;
  const Op* node = &graph.op(completing);
  if (node->kind == OpKind::kAccumulate) {
    const auto producer = graph.tensor(node->inputs.front()).producer;
    if (!producer) return std::nullopt;
    node = &graph.op(*producer);
  }
  if (node->kind != OpKind::kLinear || node->pass != OpPass::kBackwardWeight) return std::nullopt;
  for (TensorId factor : node->inputs) {
    if (graph.tensor(factor).type.batch_multiple != 1) return std::nullopt;
  }
  // A result that is only a part of a gradient (shared weight) would add a sum over ranks to a
  // local one.
  for (TensorId result : node->outputs) {
    if (graph.tensor(result).role == TensorRole::kGradient) continue;
    const auto& readers = graph.consumers(result);
    if (readers.size() != 1 || graph.op(readers.front()).kind != OpKind::kAccumulate) {
      return std::nullopt;
    }
  }
  int forward_uses = 0;
  for (OpId id : graph.consumers(parameter)) {
    const Op& consumer = graph.op(id);
    if (training.phase[id.index()] != OpPhase::kForward) continue;  // also a recompute copy
    if (consumer.kind != OpKind::kLinear || consumer.inputs.front() == parameter) {
      return std::nullopt;
    }
    ++forward_uses;
  }
  return forward_uses == 1 ? std::optional(node->id) : std::nullopt;
}

class SyncInsertion {
 public:
  SyncInsertion(const TrainingGraph& training, std::span<const Bucket> buckets, int ranks)
      : training_(training),
        graph_(training.graph),
        buckets_(buckets),
        ranks_(ranks),
        rewrite_(training.graph),
        completing_(completing_nodes(training.graph)),
        behind_(training.graph.ops().size()),
        late_(training.graph.ops().size()),
        members_(buckets.size()) {}

  /// Fills members_. Errors: see insert_sync().
  Result<void> check() {
    for (const Op& op : graph_.ops()) {
      if (std::holds_alternative<CommAttrs>(op.attrs)) {
        return invalid_input(fmt::format("node {}: the graph is synchronised already", op.name));
      }
    }
    std::unordered_map<TensorId, std::size_t> index_of;
    for (std::size_t i = 0; i < training_.trained.size(); ++i) {
      index_of[training_.trained[i].parameter] = i;
    }
    bucket_of_.assign(training_.trained.size(), std::nullopt);
    for (std::size_t b = 0; b < buckets_.size(); ++b) {
      const std::string context = fmt::format("bucket {}", b);
      PLUTO_TRY_AT(context, check_bucket(b, index_of));
    }
    for (std::size_t i = 0; i < bucket_of_.size(); ++i) {
      if (!bucket_of_[i]) return invalid_input(fmt::format("{} is in no bucket", name_of(i)));
    }
    for (std::size_t i = 0; i < bucket_of_.size(); ++i) {
      const auto node = factor_node(training_, training_.trained[i].parameter, completing(i));
      factor_nodes_.push_back(node);
      if (node) sharing_factors_[*node].push_back(i);
    }
    for (std::size_t b = 0; b < buckets_.size(); ++b) {
      if (buckets_[b].method != SyncMethod::kSufficientFactor) continue;
      for (std::size_t i : members_[b]) {
        PLUTO_TRY_AT(fmt::format("bucket {}", b), check_sufficient_factor(i));
      }
    }
    return {};
  }

  Result<TrainingGraph> insert() {
    std::vector<std::vector<OpId>> closing(buckets_.size());  // what ends each bucket
    for (std::size_t b = 0; b < buckets_.size(); ++b) {
      switch (buckets_[b].method) {
        case SyncMethod::kNone:
          break;
        case SyncMethod::kAllReduce:
          add_reduction(b, OpKind::kAllReduce, "all_reduce");
          break;
        case SyncMethod::kParameterServer:
          add_reduction(b, OpKind::kServerPush, "push");
          break;
        case SyncMethod::kSufficientFactor:
          closing[b] = gather_factors(b);
          break;
        case SyncMethod::kFactorServer:
        case SyncMethod::kShard:
          return unsupported(
              fmt::format("bucket {}: {} is not lowered yet", b, to_text(buckets_[b].method)));
      }
      for (std::size_t i : members_[b]) closing[b].push_back(training_.trained[i].update);
      if (buckets_[b].method == SyncMethod::kParameterServer) closing[b].push_back(add_pull(b));
    }
    std::vector<OpId> order;
    for (const Op& op : graph_.ops()) {
      const bool moved = late_[op.id.index()] || training_.phase[op.id.index()] == OpPhase::kUpdate;
      if (!moved) order.push_back(op.id);
      for (OpId id : behind_[op.id.index()]) order.push_back(id);
    }
    for (const auto& ops : closing) order.insert(order.end(), ops.begin(), ops.end());

    std::vector<OpPhase> phase = training_.phase;
    phase.resize(rewrite_.ops(), OpPhase::kSync);
    for (OpId id : gathers_) phase[id.index()] = OpPhase::kBackward;
    std::vector<TrainedParameter> bucketed;
    for (const auto& members : members_) {
      for (std::size_t i : members) bucketed.push_back(training_.trained[i]);
    }
    PLUTO_ASSIGN(auto rewritten, rewrite_.build(order));
    return carry_over(training_, std::move(bucketed), phase, std::move(rewritten));
  }

 private:
  const std::string& name_of(std::size_t trained) const {
    return graph_.tensor(training_.trained[trained].parameter).name;
  }
  OpId completing(std::size_t trained) const {
    return *completing_[training_.trained[trained].gradient.index()];
  }
  CommAttrs attrs(std::size_t bucket) const { return {static_cast<std::int64_t>(bucket), ranks_}; }

  Result<void> check_bucket(std::size_t b,
                            const std::unordered_map<TensorId, std::size_t>& index_of) {
    if (buckets_[b].parameters.empty()) return invalid_input("it has no parameters");
    if (buckets_[b].method == SyncMethod::kNone && ranks_ > 1) {
      return invalid_input(fmt::format("method none leaves {} ranks apart", ranks_),
                           "method: all_reduce, parameter_server or sufficient_factor");
    }
    for (TensorId parameter : buckets_[b].parameters) {
      const auto found = index_of.find(parameter);
      if (found == index_of.end()) {
        const bool known = parameter.valid() && parameter.index() < graph_.tensors().size();
        return invalid_input(
            fmt::format("{} is no trained parameter",
                        known ? graph_.tensor(parameter).name : std::string("an unknown tensor")));
      }
      const std::size_t i = found->second;
      if (bucket_of_[i]) {
        return invalid_input(fmt::format("{} is in bucket {} too", name_of(i), *bucket_of_[i]));
      }
      if (!members_[b].empty() && i < members_[b].back()) {
        return invalid_input(fmt::format("{} comes after {}, but its gradient is ready before",
                                         name_of(i), name_of(members_[b].back())),
                             "list the parameters of a bucket in gradient order");
      }
      bucket_of_[i] = b;
      members_[b].push_back(i);
    }
    return {};
  }

  Result<void> check_sufficient_factor(std::size_t trained) {
    const auto node = factor_nodes_[trained];
    if (!node) {
      return invalid_input(
          fmt::format("{} is not the weight or bias of exactly one linear layer, so it has no "
                      "sufficient factors",
                      name_of(trained)),
          "method: all_reduce or parameter_server");
    }
    // One node makes both gradients, already summed over the ranks: a second sum would be wrong.
    for (std::size_t i : sharing_factors_.at(*node)) {
      if (buckets_[*bucket_of_[i]].method != SyncMethod::kSufficientFactor) {
        return invalid_input(
            fmt::format("{} shares the factors of {}, which is synchronised by {}",
                        name_of(trained), name_of(i), to_text(buckets_[*bucket_of_[i]].method)),
            "give weight and bias of a linear layer the same method");
      }
    }
    return {};
  }

  /// In place on the gradients, right after the last of them.
  void add_reduction(std::size_t b, OpKind kind, const char* suffix) {
    std::vector<TensorId> gradients;
    OpId last(0);
    for (std::size_t i : members_[b]) {
      gradients.push_back(training_.trained[i].gradient);
      last = std::max(last, completing(i));
    }
    behind_[last.index()].push_back(rewrite_.add_op(fmt::format("bucket{}.{}", b, suffix), kind,
                                                    OpPass::kForward, attrs(b), {}, {},
                                                    std::move(gradients)));
  }

  OpId add_pull(std::size_t b) {
    std::vector<TensorId> parameters;
    for (std::size_t i : members_[b]) parameters.push_back(training_.trained[i].parameter);
    return rewrite_.add_op(fmt::format("bucket{}.pull", b), OpKind::kServerPull, OpPass::kForward,
                           attrs(b), {}, {}, std::move(parameters));
  }

  /// Gathers the factors of the bucket's linear layers where their gradients would have been
  /// computed. Returns the nodes that multiply them, for later: there they do not make backward
  /// wait.
  std::vector<OpId> gather_factors(std::size_t b) {
    std::vector<OpId> late;
    for (std::size_t i : members_[b]) {
      const OpId node = *factor_nodes_[i];
      if (!late_[node.index()]) {
        late_[node.index()] = true;
        late.push_back(node);
        // dy first: it is ready last, so the copy of x is not kept longer than needed.
        for (TensorId& factor : rewrite_.op(node).inputs) factor = gathered(factor, node, b);
      }
      if (completing(i) != node) {
        late_[completing(i).index()] = true;
        late.push_back(completing(i));
      }
    }
    return late;
  }

  TensorId gathered(TensorId factor, OpId at, std::size_t b) {
    const auto known = gathered_.find(factor);
    if (known != gathered_.end()) return known->second;
    const Tensor& source = graph_.tensor(factor);
    TensorType type = source.type;
    type.batch_multiple = ranks_;
    const OpId gather = rewrite_.add_op(source.name + ".gathered", OpKind::kFactorGather,
                                        OpPass::kForward, attrs(b), {factor}, {type});
    behind_[at.index()].push_back(gather);
    gathers_.push_back(gather);
    return gathered_[factor] = rewrite_.op(gather).outputs.front();
  }

  const TrainingGraph& training_;
  const Graph& graph_;
  std::span<const Bucket> buckets_;
  int ranks_;
  GraphRewrite rewrite_;
  std::vector<std::optional<OpId>> completing_;        // by TensorId
  std::vector<std::vector<OpId>> behind_;              // by source OpId: what follows it
  std::vector<bool> late_;                             // by source OpId: moved to its bucket's end
  std::vector<std::vector<std::size_t>> members_;      // by bucket: indices into trained
  std::vector<std::optional<std::size_t>> bucket_of_;  // by index into trained
  std::vector<std::optional<OpId>> factor_nodes_;      // by index into trained
  std::unordered_map<OpId, std::vector<std::size_t>> sharing_factors_;  // the reverse of it
  std::unordered_map<TensorId, TensorId> gathered_;                     // by factor
  std::vector<OpId> gathers_;
};

}  // namespace

bool has_sufficient_factors(const TrainingGraph& training, TensorId parameter) {
  for (const TrainedParameter& trained : training.trained) {
    if (trained.parameter != parameter) continue;
    // Only an accumulated gradient, which has no producer, needs the search.
    auto completing = training.graph.tensor(trained.gradient).producer;
    if (!completing) completing = completing_nodes(training.graph)[trained.gradient.index()];
    return completing && factor_node(training, parameter, *completing).has_value();
  }
  return false;
}

Result<TrainingGraph> insert_sync(const TrainingGraph& training, std::span<const Bucket> buckets,
                                  int ranks) {
  if (ranks < 1) return invalid_input(fmt::format("{} ranks", ranks));
  if (ranks == 1 && buckets.empty()) return training;
  SyncInsertion insertion(training, buckets, ranks);
  PLUTO_TRY(insertion.check());
  if (ranks == 1) return training;
  return insertion.insert();
}

}  // namespace pluto
