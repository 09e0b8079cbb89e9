#pragma once
// Stages of which each may run on several machines, on a cluster of nested levels.

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "planner/stage_cuts.h"

namespace pluto {

/// A level of the cluster: `machines` of the level below (devices, for the first) joined by links
/// of `bandwidth`.
struct ClusterLevel {
  int machines = 1;
  BytesPerSecond bandwidth;
};

/// Consecutive layers on one or more machines.
struct ReplicatedStage {
  std::size_t begin = 0, end = 0;  ///< layers [begin, end)
  /// Copies at each level, innermost first: 4, 2 is 8 devices, 4 of each of 2 machines.
  std::vector<int> replicas;
  bool operator==(const ReplicatedStage&) const = default;
};

struct ReplicatedCuts {
  std::vector<ReplicatedStage> stages;
  Seconds slowest;  ///< per micro-batch of one replica's size, in steady state
};

/// Cuts and replicas whose slowest stage is fastest, on at most so many machines at every level.
/// Formula, per level, of layers i..j on m machines of bandwidth b (A of one machine: the level
/// below with all its machines; compute time, below the first):
///   one stage:  (A(i, j) + 4 (m - 1) parameters / (m b M)) / m, M machines below this level
///   split at k: max(A(i, k, m - r), (A(k+1, j) + 4 (r - 1) parameters / (r b)) / r,
///               2 output(k) / (r b), 2 output(j) / (r b) if j is not the last layer)
/// Source: Narayanan et al. 2019 (PipeDream), section 3.1, with the constants of its optimizer
///   (msr-fiddle/pipedream 7db6a1c3e6, optimizer_graph_hierarchical.py with
///   --activation_compression_ratio 1 --use_fewer_machines); M there is the machines of the level
///   below alone, the same for two levels.
/// Method: exact. Its dynamic program; at the first level only those k are visited for which
///   neither side alone is slower than the best so far, both sides being monotone in k.
/// Valid for: chains, as cut_stages(). Ignores: memory (device_stages() has it), latency.
/// Test: planner/replicated_cuts_test.cc (every tree of cuts tried).
/// Errors: kInvalidInput for no layers, no levels, a level without machines or with a bandwidth
/// that is not positive.
Result<ReplicatedCuts> cut_replicated(std::span<const ChainLayer> layers,
                                      std::span<const ClusterLevel> levels);

}  // namespace pluto
