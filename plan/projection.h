#pragma once
// The plan that a target really runs: without what it cannot carry out.

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "plan/lowering.h"
#include "plan/plan.h"
#include "plan/target.h"

namespace pluto {

/// Buckets as launchers make them: filled in gradient order and closed before one more parameter
/// would exceed a size. Bytes of f32 gradients.
struct BucketSize {
  std::int64_t bytes = 0;  ///< 0: a bucket for each parameter
  /// Whether so filled buckets are those of the plan.
  bool exact = true;
};
/// The size that makes the plan's buckets; where none does, 25 MiB (what DistributedDataParallel
/// uses by default). `gradients` as gradient_order() of the plan gives them; parameters in no
/// bucket are left out.
BucketSize bucket_size(const Plan& plan, const std::vector<GradientInfo>& gradients);

struct Projection {
  Plan plan;                 ///< lawful; equal to the given one where nothing was dropped
  std::vector<Gap> dropped;  ///< not essential
  BucketSize buckets;        ///< of `plan`
};

/// Leaves out what `target` cannot carry out: methods become all_reduce, 16 bits on the wire 32,
/// algorithms ring, chunks 1, cuts even; buckets are made by one size; what the bundled executor
/// does not do beside the steps (queues, evaluation between) is off. `layers` as in PlanKnobs.
/// Errors: kUnsupported where an essential field cannot be carried out, naming the field, its value
/// and the trainers that can.
Result<Projection> project(const Plan& plan, const RunTarget& target,
                           const std::vector<GradientInfo>& gradients, int layers);

}  // namespace pluto
