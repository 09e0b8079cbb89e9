#pragma once
// The conductor: job, model, clusters and costs in; the best plans out, with reasons.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "costmodel/predictor.h"
#include "plan/catalog.h"
#include "plan/plan.h"

namespace pluto {

struct RankedPlan {
  Plan plan;
  Prediction prediction;
  bool meets_limits = false;  ///< deadline and budget at the job's confidence, and memory
};

/// Configurations looked at and turned down, by the limit that failed; one may fail several.
/// divisibility counts (instance, ranks, batch) that no whole micro-batches make up.
struct Rejections {
  std::int64_t memory = 0, deadline = 0, budget = 0, divisibility = 0;
};

/// kLimitReached: `stop` ended the search; what is ranked is the best of what was costed, and need
/// not meet the limits (see RankedPlan::meets_limits).
enum class Termination : std::uint8_t { kFeasible, kInfeasible, kLimitReached };

struct SearchResult {
  Termination termination = Termination::kInfeasible;
  /// Best first, at most ten, of different (instance, ranks, global batch). All meet the limits,
  /// or, when none does, these are the nearest misses; when nothing fits any device, the one plan
  /// that exceeds its memory least.
  std::vector<RankedPlan> ranked;
  std::optional<RankedPlan> baseline;  ///< plain data parallel (all_reduce in buckets of 25 MiB) at
                                       ///< the ranks and batches of the first
  // Only when nothing meets the limits; unset also when the job lacks the limit, or nothing
  // meets the other one. At the job's confidence.
  std::optional<RankedPlan> nearest_by_budget;      ///< cheapest that meets the deadline
  std::optional<RankedPlan> nearest_by_deadline;    ///< fastest that meets the budget
  std::optional<RankedPlan> nearest_by_confidence;  ///< most probable to meet both
  Rejections rejections;
  std::int64_t evaluated = 0;  ///< simulated steps
  Seconds elapsed;             ///< filled by the caller, who has a clock
};

/// What the caller knows about the places the job may run: one per instance type, with its largest
/// rank count.
struct Candidate {
  InstanceType instance;
  int max_ranks = 1;
  int threads_per_rank = 1;
  std::string backend = "cpu";
};

/// Enumerates the lawful configurations (space.h), leaves out those whose bounds (bounds.h) show
/// that they do not fit, miss a limit or cannot beat what is kept, and chooses sync methods and
/// bucket size of the others (sync_choice.h) by simulated step time. Per (instance, ranks, global
/// batch) the fastest plan that fits counts; the first of the ranked gives way to plain data
/// parallelism where it gains less than kNegligibleGain on it. Exact for that space as long as
/// sync_choice is; every returned number comes from predict(). `stop` (may be empty) is asked
/// between simulations. Deterministic. Infeasible is a result, not an error. Errors: kInvalidInput
/// for a contradiction in the job (e.g. fixed batch not divisible by fixed ranks); those of
/// lower(). Test: planner/planner_test.cc (equals exhaustive search on random small jobs).
Result<SearchResult> search(const TrainingJob& job, const ModelGraph& model,
                            std::int64_t dataset_samples, const std::vector<Candidate>& candidates,
                            const CostSource& costs, const std::function<bool()>& stop);

/// Of a step's time: less than two predictions of one plan differ by when it is profiled again.
inline constexpr double kNegligibleGain = 0.01;

/// Sentences a person can check: why the first plan, what binds, what the alternatives cost, the
/// weakest assumption.
std::vector<std::string> explain(const TrainingJob& job, const SearchResult& result);

}  // namespace pluto
