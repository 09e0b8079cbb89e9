#pragma once
// Which micro-batch of a transformer's plan, and what to change when none fits.

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "costmodel/transformer_predictor.h"
#include "planner/planner.h"

namespace pluto {

/// A plan with its price.
struct PricedTransformer {
  Plan plan;
  PredictedTransformer predicted;
};

/// The fastest plan that fits, among plans that differ in their micro-batch; when none fits, the
/// one that needs least memory. Precondition: plans not empty. Errors: those of
/// predict_transformer_plan() for the first plan; others that cannot be priced are passed over.
Result<PricedTransformer> choose_micro_batch(const TransformerShape& shape,
                                             const std::vector<Plan>& plans,
                                             const TransformerEvidence& evidence);

/// A change of settings after which the job fits.
struct NearestFit {
  std::vector<std::string> settings;  ///< "tensor=8", "recompute=full", as predict --set takes them
  PricedTransformer priced;
};

/// The fewest changes of micro-batch (to 1), recompute, ZeRO stage, sequence parallelism, tensor
/// (within a node) and pipeline degree at the same number of ranks, then of twice and four times
/// the nodes, that fit; of equally few the fastest. Nullopt: none of them fits. `job` is what does
/// not fit. Errors: none of its own; settings that cannot be priced are passed over.
std::optional<NearestFit> nearest_fit(const TrainingJob& job, const TransformerShape& shape,
                                      const ModelGraph& model, std::int64_t dataset_samples,
                                      const Candidate& candidate, const Plan& plan,
                                      const TransformerEvidence& evidence);

}  // namespace pluto
