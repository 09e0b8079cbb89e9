#pragma once
// A sharding per op of a graph, where neighbours that differ pay for resharding.

#include <cstddef>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace pluto {

/// A tensor between two ops.
struct ShardingEdge {
  std::size_t from = 0, to = 0;            ///< ops
  std::vector<std::vector<Seconds>> cost;  ///< [choice of from][choice of to]; infinite: unlawful
};

struct Shardings {
  std::vector<std::size_t> choice;  ///< by op
  Seconds total;                    ///< infinite when no choices are lawful together
};

/// The choices with the least total.
/// Formula: total = sum of the ops' costs and of the edges' costs. `ops`: by op and choice.
/// Source: node and edge elimination: Jia et al. 2018 ("Exploring hidden dimensions in
/// parallelizing
///   convolutional neural networks"), section 5.
/// Method: exact. Edges between the same two ops become one; an op with at most two neighbours
/// goes,
///   its best choice known for each of theirs; what remains is solved part by part as it falls
///   apart, by trying every choice of an op with the most neighbours, and dropped when even the
///   least costs reach the best known. Work: ops * choices^3, times choices per op tried in a row:
///   none in series-parallel graphs (chains, trees, residual and branching networks).
/// Valid for: costs that add up. Ignores: overlap, memory. Test: planner/graph_sharding_test.cc
/// (all
///   choices tried).
/// Errors: kInvalidInput for an op without choices, an edge to no op or to itself, a table of the
/// wrong shape, or a cost that is no number.
Result<Shardings> choose_shardings(std::span<const std::vector<Seconds>> ops,
                                   std::span<const ShardingEdge> edges);

}  // namespace pluto
