#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "model/passes/graph_rewrite.h"
#include "model/passes/passes.h"

namespace pluto {
namespace {

/// One bucket in one direction: where it is needed, and what stands for its parameters there.
struct Use {
  std::optional<OpId> first;  // the node that reads one of them first
  std::vector<OpId> readers;
};

class ParameterGathering {
 public:
  ParameterGathering(const TrainingGraph& training, std::span<const Bucket> buckets, int ranks)
      : training_(training), graph_(training.graph), ranks_(ranks), rewrite_(training.graph) {
    bucket_of_.resize(graph_.tensors().size());
    std::size_t next = 0;  // trained is ordered by buckets
    for (std::size_t b = 0; b < buckets.size(); ++b) {
      members_.emplace_back();
      for (std::size_t i = 0; i < buckets[b].parameters.size(); ++i) {
        members_[b].push_back(training.trained[next++].parameter);
        bucket_of_[members_[b].back().index()] = b;
      }
    }
  }

  Result<TrainingGraph> run() {
    std::vector<std::vector<OpId>> before(graph_.ops().size());
    for (const OpPhase phase : {OpPhase::kForward, OpPhase::kBackward}) {
      auto uses = uses_in(phase);
      std::vector<std::size_t> turn;
      for (std::size_t b = 0; b < uses.size(); ++b) {
        if (uses[b].first) turn.push_back(b);
      }
      std::sort(turn.begin(), turn.end(),
                [&](std::size_t a, std::size_t b) { return *uses[a].first < *uses[b].first; });
      for (std::size_t k = 0; k < turn.size(); ++k) {
        const OpId gather = add_gather(turn[k], phase, uses[turn[k]]);
        // One ahead: before the first use of the bucket whose turn is before.
        before[uses[turn[k == 0 ? 0 : k - 1]].first->index()].push_back(gather);
      }
    }
    std::vector<OpId> order;
    for (const Op& op : graph_.ops()) {
      const auto& gathers = before[op.id.index()];
      order.insert(order.end(), gathers.begin(), gathers.end());
      order.push_back(op.id);
    }
    PLUTO_ASSIGN(auto rewritten, rewrite_.build(order));
    return carry_over(training_, training_.trained, phases(), std::move(rewritten));
  }

 private:
  std::vector<Use> uses_in(OpPhase phase) const {
    std::vector<Use> uses(members_.size());
    for (const Op& op : graph_.ops()) {
      if (training_.phase[op.id.index()] != phase) continue;
      for (TensorId id : op.inputs) {
        if (!bucket_of_[id.index()]) continue;
        Use& use = uses[*bucket_of_[id.index()]];
        if (!use.first) use.first = op.id;
        use.readers.push_back(op.id);
      }
    }
    return uses;
  }

  OpId add_gather(std::size_t b, OpPhase phase, const Use& use) {
    std::vector<TensorType> types;
    for (TensorId id : members_[b]) types.push_back(graph_.tensor(id).type);
    const bool forward = phase == OpPhase::kForward;
    const OpId gather = rewrite_.add_op(
        fmt::format("bucket{}.gather{}", b, forward ? "" : "_backward"), OpKind::kParameterGather,
        OpPass::kForward, CommAttrs{static_cast<std::int64_t>(b), ranks_}, members_[b],
        std::move(types));
    added_.push_back(phase);
    for (OpId reader : use.readers) {
      for (TensorId& operand : rewrite_.op(reader).inputs) {
        const auto member = std::find(members_[b].begin(), members_[b].end(), operand);
        if (member == members_[b].end()) continue;
        operand =
            rewrite_.op(gather).outputs[static_cast<std::size_t>(member - members_[b].begin())];
      }
    }
    return gather;
  }

  std::vector<OpPhase> phases() const {
    std::vector<OpPhase> phases = training_.phase;
    phases.insert(phases.end(), added_.begin(), added_.end());
    return phases;
  }

  const TrainingGraph& training_;
  const Graph& graph_;
  int ranks_;
  GraphRewrite rewrite_;
  std::vector<std::vector<TensorId>> members_;         // by bucket
  std::vector<std::optional<std::size_t>> bucket_of_;  // by TensorId
  std::vector<OpPhase> added_;
};

}  // namespace

Result<TrainingGraph> gather_parameters(const TrainingGraph& synchronized,
                                        std::span<const Bucket> buckets, int ranks) {
  if (ranks == 1) return synchronized;
  return ParameterGathering(synchronized, buckets, ranks).run();
}

}  // namespace pluto
