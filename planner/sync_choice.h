#pragma once
// The inner choice: a sync method per group of parameters, and a bucket size.

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "base/result.h"
#include "costmodel/cost_source.h"
#include "plan/lowering.h"
#include "plan/plan.h"
#include "planner/lowered_plans.h"

namespace pluto {

/// Parameters that are decided together: the linear layers of one shape (rows, columns, rows per
/// sample), or all parameters that have no sufficient factors.
struct SyncGroup {
  std::vector<std::size_t> parameters;  ///< indices into the gradient order
  std::vector<SyncMethod> methods;      ///< what it may use, the first by default
};

/// Groups in gradient order. all_reduce comes first where it is allowed; parameters without
/// sufficient factors use it also when only sufficient_factor is allowed.
std::vector<SyncGroup> sync_groups(const std::vector<GradientInfo>& gradients,
                                   const std::vector<SyncMethod>& allowed);

/// A bucket is closed before it would exceed this; kWhole: one bucket per method; kPerParameter:
/// one per parameter.
inline constexpr std::int64_t kWhole = INT64_MAX, kPerParameter = 0;
/// What plain data parallelism uses.
inline constexpr std::int64_t kPlainBucket = std::int64_t{25} << 20;
/// Tried in this order; of equal times the first wins.
inline constexpr std::int64_t kBucketSizes[] = {kPlainBucket,           kWhole,
                                                std::int64_t{10} << 20, std::int64_t{4} << 20,
                                                std::int64_t{1} << 20,  kPerParameter};

/// Buckets in the order their last gradient is ready. `method` by gradient index. Sufficient factor
/// layers get a bucket each, weight and bias together, whatever the size.
std::vector<BucketPlan> make_buckets(const std::vector<GradientInfo>& gradients,
                                     const std::vector<SyncMethod>& method,
                                     std::int64_t bucket_bytes);

/// One way to run a share of the batch, complete but for its buckets.
struct Frame {
  Plan plan;                            ///< all ranks serve where a bucket needs servers
  std::vector<GradientInfo> gradients;  ///< gradient_order() of the plan
};

/// What is chosen together.
struct SyncSpace {
  std::vector<Frame> frames;  ///< of one configuration; the first is plain data parallelism
  std::vector<SyncMethod> allowed;
  std::vector<DType> wires = {DType::kF32};  ///< of gradients
  /// What plans must do besides being lowered, memory for example; unset: nothing.
  std::function<Result<bool>(const Plan&)> lawful = {};
};

struct CostedPlan {
  Plan plan;
  Seconds step;  ///< simulated, median
};

/// Chooses a frame, a method per group of parameters, a bucket size and what gradients are on the
/// wire. Frames with ZeRO stages scatter all gradients; parameters that a frame shares out have no
/// method. Returns the plans costed, fastest first, equal ones in the order they were tried; the
/// first is the choice. Exact (all combinations) when that is at most kExactWork task simulations;
/// else from plain data parallelism one change at a time until none helps (sizes
/// from where they are until they get slower), and with
/// more than kExactGroups groups from there anneal() (planner/annealing.h) over at most
/// kAnnealedChoices more, of as many task simulations as the exact choice may take; not where what
/// was found takes less than kNegligibleGain more than `floor`. `lowered`: of the job of the plans.
/// Adds the number of simulated plans to `evaluated`. Ends early, with what it has, when `stop`
/// says so, and when plain data parallelism takes less than kNegligibleGain more than `floor`,
/// which no plan can beat. What is not lowered together is left out. Errors: those of lower().
Result<std::vector<CostedPlan>> choose_sync(LoweredPlans& lowered, const SyncSpace& space,
                                            const CostSource& costs, Seconds floor,
                                            const std::function<bool()>& stop,
                                            std::int64_t& evaluated);
inline constexpr std::int64_t kExactWork = 20'000;
inline constexpr std::size_t kExactGroups = 6;
inline constexpr std::int64_t kAnnealedChoices = 200;

/// `plan` with these buckets and, when one of them needs it, all ranks as servers.
Plan with_buckets(Plan plan, std::vector<BucketPlan> buckets);

}  // namespace pluto
