#pragma once
// (model, plan) -> training graph with its communication nodes, and the StepProgram both
// interpreters run.

#include <memory>

#include "base/result.h"
#include "plan/plan.h"
#include "plan/step_program.h"

namespace pluto {

/// The model after the passes the plan asks for, and one step of it.
struct LoweredPlan {
  /// fuse_attention -> shard_sequence, shard_experts, shard_tensor, shard_layers -> fuse ->
  /// differentiate -> accumulate_gradients -> recompute -> insert_sync (shard 3: ->
  /// gather_parameters) or, with local steps, average_parameters: what one rank runs.
  TrainingGraph training;
  StepProgram program;
  /// Of post-local plans: the steps until Plan::local.synchronous_samples were seen.
  std::shared_ptr<const LoweredPlan> synchronous;
};

/// Errors: kInvalidInput when the model is not the one the plan was made for (fingerprint), when a
/// bucket names an unknown parameter, when a method cannot serve a parameter; kUnsupported for
/// tensor or pipeline degrees above 1. The cluster's size does not enter the size of the result:
/// 4,096 ranks lower as fast as 2.
Result<LoweredPlan> lower(const ModelGraph& model, const Plan& plan);

/// The passes of a plan on the model itself, checks before them: shard and fuse. Errors: those of
/// lower() before buckets.
Result<ModelGraph> transformed(const ModelGraph& model, const Plan& plan);
/// And from there to the graph before communication: differentiate -> accumulate_gradients.
Result<TrainingGraph> derived(const ModelGraph& transformed, const Plan& plan);

/// lower() in two parts, for a caller who lowers many plans that differ in buckets and servers
/// only. The graph before communication: fuse -> differentiate -> accumulate_gradients ->
/// recompute. Errors: those of lower() before buckets.
Result<TrainingGraph> unsynchronized(const ModelGraph& model, const Plan& plan);
/// The rest. Precondition: `unsynchronized` of the same model and of a plan with the same fusion,
/// optimizer, accumulation and layout. Errors: those of buckets.
Result<LoweredPlan> lower(const TrainingGraph& unsynchronized, const Plan& plan);

/// One trained parameter, as a bucket choice sees it.
struct GradientInfo {
  std::string name;
  Bytes bytes;
  std::int64_t rows = 0, columns = 0;  ///< of a weight with sufficient factors, else 0
  std::int64_t factor_rows = 0;  ///< rows per sample of the linear layer: 1, or the sequence length
  bool sufficient_factors = false;
  /// Of a bias with sufficient factors: the weight whose factors yield it and whose method it
  /// shares.
  std::string factors_of;
};
/// Trained parameters in gradient order, under the plan's fuse and optimizer; buckets and layout
/// are not read but for what splits the model: a parameter is the part of a tensor rank, and those
/// of sharded layers are left out. Errors: those of lower() before buckets.
Result<std::vector<GradientInfo>> gradient_order(const ModelGraph& model, const Plan& plan);

}  // namespace pluto
