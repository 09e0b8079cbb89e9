#include <fmt/format.h>

#include <utility>

#include "model/passes/graph_rewrite.h"
#include "model/passes/passes.h"

namespace pluto {
namespace {

/// `training` with `trained` in the order of the buckets. Errors: those of buckets that are no
/// partition.
Result<std::vector<std::vector<TrainedParameter>>> by_bucket(const TrainingGraph& training,
                                                             std::span<const Bucket> buckets) {
  std::vector<std::vector<TrainedParameter>> members(buckets.size());
  for (const TrainedParameter& trained : training.trained) {
    int found = 0;
    for (std::size_t b = 0; b < buckets.size(); ++b) {
      for (TensorId id : buckets[b].parameters) {
        if (id != trained.parameter) continue;
        members[b].push_back(trained);
        ++found;
      }
    }
    if (found != 1) {
      return invalid_input(fmt::format("{} is in {} buckets, expected one",
                                       training.graph.tensor(trained.parameter).name, found));
    }
  }
  return members;
}

}  // namespace

Result<TrainingGraph> average_parameters(const TrainingGraph& training,
                                         std::span<const Bucket> buckets, int ranks,
                                         double block_momentum) {
  if (ranks < 1) return invalid_input(fmt::format("{} ranks", ranks));
  if (ranks == 1) return training;
  for (std::size_t b = 0; b < buckets.size(); ++b) {
    if (buckets[b].method == SyncMethod::kAllReduce && buckets[b].wire == DType::kF32) continue;
    return unsupported(fmt::format("bucket {}: {} with {} on the wire does not average parameters",
                                   b, to_text(buckets[b].method), to_text(buckets[b].wire)),
                       "local steps need method: all_reduce, wire: f32");
  }
  PLUTO_ASSIGN(const auto members, by_bucket(training, buckets));
  GraphRewrite rewrite(training.graph);
  std::vector<OpId> order;
  for (const Op& op : training.graph.ops()) order.push_back(op.id);
  std::vector<TrainedParameter> trained;
  for (std::size_t b = 0; b < members.size(); ++b) {
    std::vector<TensorId> slice;
    for (const TrainedParameter& one : members[b]) slice.push_back(one.parameter);
    order.push_back(rewrite.add_op(fmt::format("bucket{}.all_reduce", b), OpKind::kAllReduce,
                                   OpPass::kForward, CommAttrs{static_cast<std::int64_t>(b), ranks},
                                   {}, {}, slice));
  }
  for (const auto& bucket : members) {
    for (const TrainedParameter& one : bucket) {
      const Tensor& parameter = training.graph.tensor(one.parameter);
      std::vector<TensorId> updates = {one.parameter};
      if (block_momentum != 0) {
        // The anchor starts as the parameter does.
        updates.push_back(rewrite.add_tensor(parameter.name + ".anchor",
                                             TensorRole::kOptimizerState, parameter.type,
                                             parameter.init));
        updates.push_back(rewrite.add_tensor(parameter.name + ".block_velocity",
                                             TensorRole::kOptimizerState, parameter.type));
      }
      order.push_back(rewrite.add_op(parameter.name + ".average", OpKind::kAverage,
                                     OpPass::kForward, AverageAttrs{ranks, block_momentum},
                                     {one.parameter}, {}, std::move(updates)));
      trained.push_back(one);
    }
  }
  std::vector<OpPhase> phase = training.phase;
  phase.resize(rewrite.ops(), OpPhase::kAverage);
  PLUTO_ASSIGN(auto rewritten, rewrite.build(order));
  return carry_over(training, std::move(trained), phase, std::move(rewritten));
}

}  // namespace pluto
