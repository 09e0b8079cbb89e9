#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
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
  SyncInsertion(const TrainingGraph& training, std::span<const Bucket> buckets, int ranks,
                int shard)
      : training_(training),
        graph_(training.graph),
        buckets_(buckets),
        ranks_(ranks),
        shard_(shard),
        rewrite_(training.graph),
        completing_(completing_nodes(training.graph)),
        behind_(training.graph.ops().size()),
        late_(training.graph.ops().size()),
        members_(buckets.size()) {
    for (const ParameterShard& shard : training.model.shards) {
      if (shard.group == RankGroup::kData || shard.group == RankGroup::kExpert) {
        owned_.insert(shard.parameter);
      }
    }
  }

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
      const bool owned = owned_.contains(name_of(i));
      if (!bucket_of_[i] && !owned) {
        return invalid_input(fmt::format("{} is in no bucket", name_of(i)));
      }
      if (bucket_of_[i] && owned) {
        return invalid_input(fmt::format("{} is in bucket {}, but each rank has its own part",
                                         name_of(i), *bucket_of_[i]),
                             "leave the parameters of sharded layers out of the buckets");
      }
    }
    for (std::size_t i = 0; i < bucket_of_.size(); ++i) {
      const auto node = factor_node(training_, training_.trained[i].parameter, completing(i));
      factor_nodes_.push_back(node);
      if (node) sharing_factors_[*node].push_back(i);
    }
    for (std::size_t b = 0; b < buckets_.size(); ++b) {
      if (!by_factors(buckets_[b].method)) continue;
      for (std::size_t i : members_[b]) {
        PLUTO_TRY_AT(fmt::format("bucket {}", b), check_sufficient_factor(i));
        PLUTO_TRY_AT(fmt::format("bucket {}", b), check_factor_types(b, i));
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
          add_reduction(b, OpKind::kAllReduce, "all_reduce", closing[b]);
          break;
        case SyncMethod::kParameterServer:
          add_reduction(b, OpKind::kServerPush, "push", closing[b]);
          break;
        case SyncMethod::kSufficientFactor:
        case SyncMethod::kFactorServer:
          closing[b] = gather_factors(b);
          break;
        case SyncMethod::kShard:
          if (shard_ < 2) {
            add_reduction(b, OpKind::kServerPush, "reduce_scatter", closing[b]);
          } else {
            scatter_gradients(b);
          }
          break;
      }
      for (std::size_t i : members_[b]) closing[b].push_back(training_.trained[i].update);
      switch (buckets_[b].method) {
        case SyncMethod::kParameterServer:
        case SyncMethod::kFactorServer:
          add_pull(b, "pull", closing[b]);
          break;
        case SyncMethod::kShard:
          if (shard_ < 3) add_pull(b, "all_gather", closing[b]);
          break;
        default:
          break;
      }
    }
    std::vector<OpId> order;
    for (const Op& op : graph_.ops()) {
      const bool moved = late_[op.id.index()] || training_.phase[op.id.index()] == OpPhase::kUpdate;
      if (!moved) order.push_back(op.id);
      for (OpId id : behind_[op.id.index()]) order.push_back(id);
    }
    for (const auto& ops : closing) order.insert(order.end(), ops.begin(), ops.end());
    for (std::size_t i = 0; i < bucket_of_.size(); ++i) {
      if (!bucket_of_[i]) order.push_back(training_.trained[i].update);
    }

    std::vector<OpPhase> phase = training_.phase;
    phase.resize(rewrite_.ops(), OpPhase::kSync);
    for (OpId id : per_micro_batch_) phase[id.index()] = OpPhase::kBackward;
    std::vector<TrainedParameter> bucketed;
    for (const auto& members : members_) {
      for (std::size_t i : members) {
        bucketed.push_back(training_.trained[i]);
        if (const auto shard = gradient_shard_.find(i); shard != gradient_shard_.end()) {
          bucketed.back().gradient = shard->second;
        }
      }
    }
    for (std::size_t i = 0; i < bucket_of_.size(); ++i) {
      if (!bucket_of_[i]) bucketed.push_back(training_.trained[i]);
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
    if (buckets_[b].wire != DType::kF32 && shard_ >= 2) {
      return unsupported(fmt::format("{} on the wire of shard {} is not lowered yet",
                                     to_text(buckets_[b].wire), shard_),
                         "wire: f32");
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
      if (buckets_[*bucket_of_[i]].method != buckets_[*bucket_of_[trained]].method) {
        return invalid_input(
            fmt::format("{} shares the factors of {}, which is synchronised by {}",
                        name_of(trained), name_of(i), to_text(buckets_[*bucket_of_[i]].method)),
            "give weight and bias of a linear layer the same method");
      }
      if (buckets_[*bucket_of_[i]].method == SyncMethod::kFactorServer &&
          bucket_of_[i] != bucket_of_[trained]) {
        return invalid_input(fmt::format("{} shares the factors of {}, which is in bucket {}",
                                         name_of(trained), name_of(i), *bucket_of_[i]),
                             "the server that multiplies updates both: put them into one bucket");
      }
    }
    return {};
  }

  Result<void> check_factor_types(std::size_t b, std::size_t trained) const {
    for (TensorId factor : graph_.op(*factor_nodes_[trained]).inputs) {
      const DType type = graph_.tensor(factor).type.dtype;
      if (!packed(b) || type == DType::kF32) continue;
      return unsupported(fmt::format("{} on the wire for factors of {}, which are {} already",
                                     to_text(buckets_[b].wire), name_of(trained), to_text(type)),
                         "wire: f32 sends them as they are");
    }
    return {};
  }

  static bool by_factors(SyncMethod method) {
    return method == SyncMethod::kSufficientFactor || method == SyncMethod::kFactorServer;
  }
  bool packed(std::size_t b) const { return buckets_[b].wire != DType::kF32; }
  WireAttrs wire_attrs(std::size_t b, bool scaled) const {
    const bool f16 = buckets_[b].wire == DType::kF16;
    return {static_cast<std::int64_t>(b), to_text(buckets_[b].wire),
            scaled && f16 ? kWireScale : 1};
  }
  OpId last_gradient(std::size_t b) const {
    OpId last(0);
    for (std::size_t i : members_[b]) last = std::max(last, completing(i));
    return last;
  }

  /// A collective of the whole bucket: in place, or between pack and unpack. `slice`: the tensors
  /// of the bucket, which it rewrites. Returns the nodes in order.
  std::vector<OpId> on_slice(std::size_t b, OpKind kind, const std::string& suffix,
                             const std::string& of, std::vector<TensorId> slice, bool scaled) {
    const std::string name = fmt::format("bucket{}.", b);
    if (!packed(b)) {
      return {rewrite_.add_op(name + suffix, kind, OpPass::kForward, attrs(b), {}, {},
                              std::move(slice))};
    }
    std::int64_t elements = 0;
    for (TensorId id : slice) elements += graph_.tensor(id).type.shape.elements();
    const TensorType flat{Shape{{elements}}, buckets_[b].wire, 0};
    const OpId pack = rewrite_.add_op(name + "pack" + of, OpKind::kPack, OpPass::kForward,
                                      wire_attrs(b, scaled), slice, {flat});
    const OpId travel = rewrite_.add_op(name + suffix, kind, OpPass::kForward, attrs(b),
                                        {rewrite_.op(pack).outputs.front()}, {flat});
    const OpId unpack = rewrite_.add_op(
        name + "unpack" + of, OpKind::kUnpack, OpPass::kForward, wire_attrs(b, scaled),
        {rewrite_.op(travel).outputs.front()}, {}, std::move(slice));
    return {pack, travel, unpack};
  }

  /// On the gradients, right after the last of them; unpacked late, so that backward does not wait.
  void add_reduction(std::size_t b, OpKind kind, const char* suffix, std::vector<OpId>& closing) {
    std::vector<TensorId> gradients;
    for (std::size_t i : members_[b]) gradients.push_back(training_.trained[i].gradient);
    auto nodes = on_slice(b, kind, suffix, "", std::move(gradients), true);
    if (nodes.size() > 1) {
      closing.push_back(nodes.back());
      nodes.pop_back();
    }
    auto& behind = behind_[last_gradient(b).index()];
    behind.insert(behind.end(), nodes.begin(), nodes.end());
  }

  void add_pull(std::size_t b, const char* suffix, std::vector<OpId>& closing) {
    std::vector<TensorId> parameters;
    for (std::size_t i : members_[b]) parameters.push_back(training_.trained[i].parameter);
    const auto nodes =
        on_slice(b, OpKind::kServerPull, suffix, "_parameters", std::move(parameters), false);
    closing.insert(closing.end(), nodes.begin(), nodes.end());
  }

  /// Gradients of a micro-batch live until their sum is scattered; what stays is the shard.
  void scatter_gradients(std::size_t b) {
    std::vector<TensorId> gradients, shards;
    for (std::size_t i : members_[b]) {
      const TrainedParameter& trained = training_.trained[i];
      const OpId node = completing(i);
      TensorId gradient = trained.gradient;
      if (graph_.op(node).kind == OpKind::kAccumulate) {
        late_[node.index()] = true;  // and in no closing: reduce_scatter adds instead
        gradient = graph_.op(node).inputs.front();
        shards.push_back(trained.gradient);
      } else {
        Tensor& transient = rewrite_.tensor(gradient);
        transient.role = TensorRole::kActivation;
        shards.push_back(
            rewrite_.add_tensor(transient.name + ".shard", TensorRole::kGradient, transient.type));
        for (TensorId& operand : rewrite_.op(trained.update).inputs) {
          if (operand == gradient) operand = shards.back();
        }
        gradient_shard_[i] = shards.back();
      }
      gradients.push_back(gradient);
    }
    const OpId scatter =
        rewrite_.add_op(fmt::format("bucket{}.reduce_scatter", b), OpKind::kReduceScatter,
                        OpPass::kForward, attrs(b), std::move(gradients), {}, std::move(shards));
    behind_[last_gradient(b).index()].push_back(scatter);
    per_micro_batch_.push_back(scatter);
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
        // dy first: it is ready last, so the copy of x is not kept longer than needed.
        for (std::size_t k = 0; k < rewrite_.op(node).inputs.size(); ++k) {
          const TensorId all = gathered(rewrite_.op(node).inputs[k], node, b, late);
          rewrite_.op(node).inputs[k] = all;
        }
        late.push_back(node);
      }
      if (completing(i) != node) {
        late_[completing(i).index()] = true;
        late.push_back(completing(i));
      }
    }
    return late;
  }

  /// Who holds the factors of a bucket: all ranks, or its server; in which type they travel.
  std::string holders(std::size_t b) const {
    std::string text;
    if (buckets_[b].method == SyncMethod::kFactorServer) text = fmt::format(".bucket{}", b);
    if (packed(b)) text += fmt::format(".{}", to_text(buckets_[b].wire));
    return text;
  }

  TensorId gathered(TensorId factor, OpId at, std::size_t b, std::vector<OpId>& late) {
    const std::pair key{factor, holders(b)};
    const auto known = gathered_.find(key);
    if (known != gathered_.end()) return known->second;
    const std::string name = graph_.tensor(factor).name + key.second;
    TensorType type = graph_.tensor(factor).type;
    const auto add = [&](const char* suffix, OpKind kind, OpAttrs with, TensorId operand) {
      const OpId id = rewrite_.add_op(name + suffix, kind, OpPass::kForward, std::move(with),
                                      {operand}, {type});
      behind_[at.index()].push_back(id);
      per_micro_batch_.push_back(id);
      return rewrite_.op(id).outputs.front();
    };
    const bool server = buckets_[b].method == SyncMethod::kFactorServer;
    // Activations are no smaller than what f16 holds.
    const auto producer = graph_.tensor(factor).producer;
    const bool scaled = producer && training_.phase[producer->index()] == OpPhase::kBackward;
    TensorId sent = factor;
    if (packed(b)) {
      type.dtype = buckets_[b].wire;
      sent = add(".packed", OpKind::kPack, wire_attrs(b, scaled), factor);
    }
    type.batch_multiple = ranks_;
    const TensorId all = server ? add(".pushed", OpKind::kFactorPush, attrs(b), sent)
                                : add(".gathered", OpKind::kFactorGather, attrs(b), sent);
    if (!packed(b)) return gathered_[key] = all;
    type.dtype = DType::kF32;
    const OpId unpack = rewrite_.add_op(name + ".unpacked", OpKind::kUnpack, OpPass::kForward,
                                        wire_attrs(b, scaled), {all}, {type});
    per_micro_batch_.push_back(unpack);
    late.push_back(unpack);
    return gathered_[key] = rewrite_.op(unpack).outputs.front();
  }

  const TrainingGraph& training_;
  const Graph& graph_;
  std::span<const Bucket> buckets_;
  int ranks_;
  int shard_;
  GraphRewrite rewrite_;
  std::vector<std::optional<OpId>> completing_;        // by TensorId
  std::vector<std::vector<OpId>> behind_;              // by source OpId: what follows it
  std::vector<bool> late_;                             // by source OpId: moved to its bucket's end
  std::vector<std::vector<std::size_t>> members_;      // by bucket: indices into trained
  std::vector<std::optional<std::size_t>> bucket_of_;  // by index into trained
  std::vector<std::optional<OpId>> factor_nodes_;      // by index into trained
  std::unordered_map<OpId, std::vector<std::size_t>> sharing_factors_;  // the reverse of it
  std::map<std::pair<TensorId, std::string>, TensorId> gathered_;       // by factor and holders()
  std::vector<OpId> per_micro_batch_;                                   // added nodes of backward
  std::unordered_map<std::size_t, TensorId> gradient_shard_;            // by index into trained
  std::unordered_set<std::string> owned_;  // parameters the data ranks share out: in no bucket
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
                                  int ranks, int shard) {
  if (ranks < 1) return invalid_input(fmt::format("{} ranks", ranks));
  if (ranks == 1 && buckets.empty()) return training;
  SyncInsertion insertion(training, buckets, ranks, shard);
  PLUTO_TRY(insertion.check());
  if (ranks == 1) return training;
  return insertion.insert();
}

}  // namespace pluto
