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
                             const std::vector<SyncMethod>& allowed, const CostSource& costs,
                             bool local_allowed = false);

  /// Formula: max(accumulation * (forward + backward) + update, forward + exchange, input), where
  ///   forward + backward is the sum of the nodes' costs without those weight gradients that
  ///   sufficient factors could replace and, on GPUs, without the linear layers that ranks could
  ///   share; forward is of one micro-batch, update is shared by the ranks where servers are
  ///   allowed and on GPUs (ZeRO), and exchange is n min over s of t(s) / s: n the bytes of
  ///   the gradients that have no factors and, on GPUs, are of no such layer (half of them where
  ///   plans may send 16 bits), t(s) what an all_reduce of s bytes takes, or a reduce_scatter and
  ///   an all_gather where that is less, s = n, n / 8, n / 64; 0 where GPUs may take local steps.
  /// Valid for: collectives whose time a byte does not dip between these sizes. Test:
  /// planner/bounds_test.cc.
  Seconds step(const Plan& plan);
  /// Readers of a rank: the fewest, from plan.data.readers on, with which reading hides behind the
  /// bound of the step, or takes as long as the processors or the storage make it; at most
  /// kMostReaders. Where reading and the step take turns (queue 0) those of the plan.
  int readers(const Plan& plan);
  static constexpr int kMostReaders = 64;
  /// Part of step(): forward and backward of all micro-batches.
  Seconds compute(const Plan& plan);

  /// Formula: persistent blocks, two sets of inputs, and the live activations of one rank alone at
  /// their peak; no workspace, no staging. Errors: those of lower().
  Result<Bytes> memory(const Plan& plan);

 private:
  struct Parts {
    Seconds forward;      // of fixed
    Seconds fixed;        // forward and backward without replaceable nodes
    Seconds replaceable;  // weight gradients with sufficient factors
    Seconds splittable;   // large linear layers
    Seconds either;       // replaceable and splittable, in none of the above
    Seconds update;
  };
  Bounds(const ModelGraph& model, LoweredPlan alone, const std::vector<SyncMethod>& allowed,
         const CostSource& costs);
  const Parts& parts(const Plan& plan);
  Seconds busy(const Plan& plan);  ///< of a step, reading aside
  InputTime reading(const Plan& plan) const;
  Seconds exchange(const Plan& plan) const;

  const ModelGraph& model_;
  LoweredPlan alone_;  // one rank, one micro-batch
  const CostSource& costs_;
  bool factors_allowed_, servers_allowed_, local_allowed_ = false;
  std::vector<bool> replaceable_;  // by OpId
  std::vector<bool> splittable_;   // by OpId
  Bytes unavoidable_;              // gradients without factors
  Bytes split_gradients_;          // of them those of large linear layers, not in the above
  std::map<std::tuple<std::string, int, std::int64_t>, Parts>
      parts_;                                        // device, busy ranks, micro-batch
  std::map<std::int64_t, TrainingGraph> trainings_;  // of one rank, by micro-batches
  std::map<std::pair<std::int64_t, std::int64_t>, Bytes>
      memory_;  // micro-batch, micro-batches (1, 2 or 3 and more)
};

/// `plan` on one rank: no buckets, no servers, one node.
Plan alone(Plan plan, std::int64_t micro_batch, std::int64_t accumulation);

}  // namespace pluto
