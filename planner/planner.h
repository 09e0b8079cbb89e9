#pragma once
// The conductor: job, model, clusters and costs in; the best plans out, with reasons.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "costmodel/predictor.h"
#include "costmodel/transformer_evidence.h"
#include "plan/catalog.h"
#include "plan/plan.h"
#include "plan/transformer_shape.h"
#include "planner/closed_form_plan.h"

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
  std::int64_t market = 0;  ///< spot is asked for and not known to be offered
  std::int64_t target = 0;  ///< what is to run the plan (TrainingJob::targets) cannot
};

/// kLimitReached: `stop` ended the search; what is ranked is the best of what was costed, and need
/// not meet the limits (see RankedPlan::meets_limits).
enum class Termination : std::uint8_t { kFeasible, kInfeasible, kLimitReached };

/// What the closed form of a step of a + b B / n would choose (closed_form_plan.h): the search
/// begins there, and its answer is compared with it.
struct ClosedFormChoice {
  std::string instance;
  ClosedFormJob job;
  ClosedFormPlan plan;
};

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
  /// When asked for: plans that fit and that no other beats in both time and price, whatever the
  /// limits, fastest first.
  std::vector<RankedPlan> front;
  /// Unset: no number of devices meets the limits in it.
  std::optional<ClosedFormChoice> closed_form;
  Rejections rejections;
  std::int64_t cells = 0;      ///< (instance, ranks, global batch) that have a plan which may fit
  std::int64_t evaluated = 0;  ///< plans priced
  /// By how much, as a share of its price or time, the first could at most be beaten by what a
  /// stopped search left out; 0 for a complete one. Beside kNegligibleGain, which every search may
  /// lose. Test: planner/stopped_search_test.cc.
  double gap = 0;
  Seconds elapsed;  ///< filled by the caller, who has a clock
};

/// What the caller knows about the places the job may run: one per instance type, with its largest
/// rank count.
struct Candidate {
  InstanceType instance;
  int max_ranks = 1;
  int threads_per_rank = 1;
  std::string backend = "cpu";
};

struct SearchControl {
  bool front = false;          ///< also fill SearchResult::front
  std::function<bool()> stop;  ///< asked between plans; true ends the search with what it has
};

/// Data-parallel plans of any graph, priced by the simulator. Cells of (instance, ranks, global
/// batch) whose bounds (bounds.h) show that they do not fit, miss a limit or cannot beat what is
/// kept are left out; in the others sync methods and bucket size are chosen (sync_choice.h) by
/// simulated step time. The first of the ranked gives way to plain data parallelism where it gains
/// less than kNegligibleGain on it. Exact for that space as long as sync_choice is; every returned
/// number comes from predict(). Deterministic. Infeasible is a result, not an error. Errors:
/// kInvalidInput for a contradiction in the job (e.g. fixed batch not divisible by fixed ranks);
/// those of lower(). Test: planner/search_oracle_test.cc (every plan of random small jobs).
Result<SearchResult> search(const TrainingJob& job, const ModelGraph& model,
                            std::int64_t dataset_samples, const std::vector<Candidate>& candidates,
                            const CostSource& costs, const SearchControl& control);

/// GPUs a transformer may be trained on, and what is known of its steps there.
struct TransformerPlace {
  Candidate candidate;
  TransformerEvidence evidence;
};

/// Plans of a transformer over data, tensor, context and pipeline degrees, interleaving, ZeRO
/// stages, sequence parallelism, recomputing and micro-batches, priced by the closed form; what
/// job.strategy fixes stays fixed. Exact for that space (transformer_space.h). Else as above; every
/// returned number comes from predict_transformer_plan(). Test: planner/transformer_space_test.cc.
Result<SearchResult> search(const TrainingJob& job, const ModelGraph& model,
                            const TransformerShape& shape, std::int64_t dataset_samples,
                            const std::vector<TransformerPlace>& places,
                            const SearchControl& control);

/// Of a step's time: less than two predictions of one plan differ by when it is profiled again.
inline constexpr double kNegligibleGain = 0.01;

/// Sentences a person can check: why the first plan, what binds, what the alternatives cost, its
/// market and learning rate, the weakest assumption, and a probe that is worth its price.
std::vector<std::string> explain(const TrainingJob& job, const SearchResult& result);
/// What `search --explain` adds: what an interruption costs and when the run moves, how far the
/// plan is from the closed form, why no probe is advised.
std::vector<std::string> explain_more(const TrainingJob& job, const SearchResult& result);

}  // namespace pluto
