#pragma once
// The outer space: every lawful (instance, ranks, global batch, micro-batch) of a job.

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "plan/plan.h"
#include "planner/planner.h"

namespace pluto {

/// Where and with which global batch. Its configurations differ only in how a rank's share of the
/// batch is cut.
struct Placement {
  std::size_t candidate = 0;
  int ranks = 1;
  std::int64_t global_batch = 1;
  std::int64_t steps = 1;
  LearningRate learning_rate;               ///< scaled to global_batch
  RateBasis rate_basis;                     ///< what it follows from
  Convergence convergence;                  ///< how sure steps is
  std::vector<std::int64_t> micro_batches;  ///< largest first; each divides global_batch / ranks
};

struct Space {
  std::vector<Placement> placements;
  std::int64_t divisibility =
      0;  ///< (instance, ranks, batch) left out because no whole micro-batches make up the batch
};

/// Micro-batches of a step: more would make its program larger than it is worth.
inline constexpr std::int64_t kMostAccumulation = 4096;

/// Ranks: fixed by the job, or 1 to the smaller of the job's and the candidate's most. Global
/// batch: fixed, or the powers of two up to max_global_batch and learning_rate_batch itself.
/// Micro-batch: fixed, or the whole share of a rank and each power of two that divides it, in at
/// most kMostAccumulation parts. The target counts samples at learning_rate_batch, or at the
/// smallest batch when that is unset, and is scaled by estimate_samples() when the batch is chosen;
/// with a fixed batch it is taken as stated. Errors: kInvalidInput for a contradiction in the job,
/// naming the key.
Result<Space> enumerate(const TrainingJob& job, std::int64_t dataset_samples,
                        const std::vector<Candidate>& candidates);

/// The plan of one configuration, complete but for buckets and servers.
Plan plan_of(const TrainingJob& job, const ModelGraph& model, std::int64_t dataset_samples,
             const Candidate& candidate, const Placement& placement, std::int64_t micro_batch);

}  // namespace pluto
