#include "planner/planner.h"

#include "planner/best_first.h"
#include "planner/simulated_space.h"
#include "planner/transformer_space.h"

namespace pluto {

Result<SearchResult> search(const TrainingJob& job, const ModelGraph& model,
                            std::int64_t dataset_samples, const std::vector<Candidate>& candidates,
                            const CostSource& costs, const SearchControl& control) {
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
