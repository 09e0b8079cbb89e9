#pragma once
// Every plan of a small job, one by one: what a search is compared with. Written apart from the
// planner's own code; of it only the fields that do not differ between plans are taken (plan_of).

#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "costmodel/predictor.h"
#include "plan/lowering.h"
#include "planner/planner.h"
#include "planner/space.h"

namespace pluto::testing {

/// The space: places x ranks x global batches x micro-batches (the share of a rank, and powers of
/// two that divide it) x a sync method per group of layers (linear layers of one shape; everything
/// else) x bucket sizes. On GPUs, jointly with all of these: ZeRO 0 to 3 x recompute x large linear
/// layers split or not x gradients in 32 or 16 bits on the wire. What cannot be lowered is no plan.
class ExhaustivePlans {
 public:
  /// Everything referred to must outlive it.
  ExhaustivePlans(const TrainingJob& job, const ModelGraph& model,
                  const std::vector<Candidate>& places, const CostSource& costs)
      : job_(job), model_(model), places_(places), costs_(costs) {}

  /// The fastest plan that fits, with meets_limits, of every (place, ranks, global batch) that has
  /// one.
  std::vector<RankedPlan> best_plans();
  std::int64_t priced() const { return priced_; }

 private:
  /// Parameters that are decided together, by their place in the gradient order.
  struct Group {
    std::vector<std::size_t> members;
    bool factors = false;  ///< have sufficient factors
  };
  std::vector<Placement> placements();
  void try_ways(const Plan& plan, std::optional<RankedPlan>& best);
  /// All methods and sizes of one way to run. `wire`: of all buckets.
  void try_buckets(const Plan& plan, DType wire, std::optional<RankedPlan>& best);
  bool try_one(const Plan& plan, std::optional<RankedPlan>& best);
  const TrainingGraph* training_of(const Plan& plan);
  const std::vector<GradientInfo>& gradients_of(const Plan& plan);

  using Way = std::tuple<int, std::int64_t, bool, int, Recompute>;
  static Way way_of(const Plan& plan) {
    return {plan.sharded.empty() ? 1 : plan.layout.data, plan.accumulation, !plan.sharded.empty(),
            plan.shard, plan.recompute};
  }
  const TrainingJob& job_;
  const ModelGraph& model_;
  const std::vector<Candidate>& places_;
  const CostSource& costs_;
  std::map<Way, std::optional<TrainingGraph>> trainings_;
  std::map<int, std::vector<GradientInfo>> gradients_;  ///< by ranks of split layers, 0: none
  std::int64_t priced_ = 0;
};

}  // namespace pluto::testing
