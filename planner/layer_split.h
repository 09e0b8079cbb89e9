#pragma once
// Which linear layers the data ranks share instead of each having its own copy.

#include <string>
#include <vector>

#include "base/result.h"
#include "costmodel/cost_source.h"
#include "model/graph.h"
#include "plan/plan.h"

namespace pluto {

/// A linear layer with fewer weights is not worth splitting: its batch would travel instead.
inline constexpr std::int64_t kLargeLayer = std::int64_t{1} << 20;

/// Linear nodes of at least kLargeLayer weights, read by nobody else, whose features `ranks`
/// divide.
std::vector<std::string> large_layers(const ModelGraph& model, int ranks);

/// Those of large_layers() to split (Plan::sharded) so that least is exchanged, in graph order.
/// Formula: choose_shardings() (planner/graph_sharding.h) over the forward nodes, each with its own
///   batch or with a part of the features of all batches. A layer with its own batch exchanges the
///   gradient of its weights once a step: an all_reduce, or an all_gather of its factors where the
///   plan may send them. Into a split layer goes an all_gather and comes a reduce_scatter, out of
///   one that is not followed by another an all_to_all each way, in every micro-batch; element-wise
///   nodes between keep their part. Products cost the same either way.
/// Source: Krizhevsky 2014 (arXiv:1404.5997), section 4; Jia et al. 2018 for the graph.
/// Valid for: exchanges that nothing hides. Ignores: overlap, buckets, updates: simulated steps
///   decide between this, all large layers and none (planner/simulated_space.h).
/// Test: planner/layer_split_test.cc. Errors: those of choose_shardings().
Result<std::vector<std::string>> split_layers(const ModelGraph& model, const Plan& plan,
                                              bool factors_allowed, const CostSource& costs);

}  // namespace pluto
