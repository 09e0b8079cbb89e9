#pragma once
// What no plan of a configuration can beat, without lowering it.

#include <map>
#include <tuple>
#include <vector>

#include "base/result.h"
#include "costmodel/cost_source.h"
#include "costmodel/input_pipeline.h"
#include "plan/lowering.h"
#include "plan/plan.h"

namespace pluto {

/// Lower bounds of a plan's step time and memory that hold for every choice of sync methods and
/// buckets. Not thread-safe: remembers what it computed.
class Bounds {
 public:
  /// `plan`: of one configuration of the job (its batch sizes and cluster do not matter). Errors:
  /// those of lower().
  static Result<Bounds> make(const ModelGraph& model, const Plan& plan,
                             const std::vector<SyncMethod>& allowed, const CostSource& costs);

  /// Formula: max(accumulation * (forward + backward) + update, input), where forward + backward is
  /// the sum of the nodes' costs without those
  ///   weight gradients that sufficient factors could replace, and update is shared by the ranks
  ///   where servers are allowed.
  /// Test: planner/bounds_test.cc.
  Seconds step(const Plan& plan);
  /// Readers of a rank: the fewest, from plan.data.readers on, with which reading hides behind the
  /// bound of the computation, or takes as long as the processors or the storage make it; at most
  /// kMostReaders. Where reading and the step take turns (queue 0) those of the plan.
  int readers(const Plan& plan);
  static constexpr int kMostReaders = 64;

  /// Formula: persistent blocks, two sets of inputs, and the live activations of one rank alone at
  /// their peak; no workspace, no staging. Errors: those of lower().
  Result<Bytes> memory(const Plan& plan);

 private:
  struct Parts {
    Seconds fixed;        // forward and backward without replaceable nodes
    Seconds replaceable;  // weight gradients with sufficient factors
    Seconds update;
  };
  Bounds(const ModelGraph& model, LoweredPlan alone, const std::vector<SyncMethod>& allowed,
         const CostSource& costs);
  const Parts& parts(const Plan& plan);
  Seconds compute(const Plan& plan);  ///< of a step
  InputTime reading(const Plan& plan) const;

  const ModelGraph& model_;
  LoweredPlan alone_;  // one rank, one micro-batch
  const CostSource& costs_;
  bool factors_allowed_, servers_allowed_;
  std::vector<bool> replaceable_;  // by OpId
  std::map<std::tuple<std::string, int, std::int64_t>, Parts>
      parts_;  // device, busy ranks, micro-batch
  std::map<std::pair<std::int64_t, std::int64_t>, Bytes>
      memory_;  // micro-batch, micro-batches (1, 2 or 3 and more)
};

/// `plan` on one rank: no buckets, no servers, one node.
Plan alone(Plan plan, std::int64_t micro_batch, std::int64_t accumulation);

}  // namespace pluto
