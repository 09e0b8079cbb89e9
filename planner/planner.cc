#include "planner/planner.h"

#include <fmt/format.h>

#include <algorithm>

#include "planner/best_first.h"
#include "planner/simulated_space.h"
#include "planner/transformer_space.h"

namespace pluto {

namespace {

bool carried(const RunTarget& target, SyncMethod method) {
  PlanKnobs knobs;
  knobs.methods = 1U << static_cast<unsigned>(method);
  return std::ranges::count(gaps(target, knobs), "buckets.method", &Gap::field) == 0;
}

/// The job with the sync methods that its targets have.
Result<TrainingJob> for_targets(TrainingJob job) {
  for (const RunTarget& target : job.targets) {
    std::erase_if(job.allowed_sync, [&](SyncMethod one) { return !carried(target, one); });
    if (job.allowed_sync.empty()) {
      return invalid_input(
          fmt::format("sync.allow: none of these methods is one of {}", to_text(target)),
          "allow all_reduce, or leave --target out");
    }
  }
  return job;
}

}  // namespace

Result<SearchResult> search(const TrainingJob& wanted, const ModelGraph& model,
                            std::int64_t dataset_samples, const std::vector<Candidate>& candidates,
                            const CostSource& costs, const SearchControl& control) {
  PLUTO_ASSIGN(const TrainingJob job, for_targets(wanted));
  PLUTO_ASSIGN(const auto space,
               SimulatedSpace::make(job, model, dataset_samples, candidates, costs));
  return best_first(job, *space, control.front, control.stop);
}

Result<SearchResult> search(const TrainingJob& job, const ModelGraph& model,
                            const TransformerShape& shape, std::int64_t dataset_samples,
                            const std::vector<TransformerPlace>& places,
                            const SearchControl& control) {
  PLUTO_ASSIGN(const auto space,
               TransformerSpace::make(job, model, shape, dataset_samples, places));
  return best_first(job, *space, control.front, control.stop);
}

}  // namespace pluto
