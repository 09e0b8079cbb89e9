#pragma once
// What is decided: complete, so that the executor decides nothing.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "plan/cluster.h"
#include "plan/evidence.h"
#include "plan/job.h"
#include "plan/strategy.h"

namespace pluto {

/// How sure Plan::steps is where the target is a state of the model, reached after a number of
/// samples that depends on the global batch.
struct Convergence {
  double spread = 0;  ///< standard deviation of ln(samples to the target); 0: a stated length
  Evidence evidence = Evidence::kMeasured;
  std::string source;  ///< "MLPerf resnet", "noise scale at batch 256"; empty: a stated length
  bool operator==(const Convergence&) const = default;
};

/// What the peak of the learning rate follows from, and where the best one may lie
/// (planner/batch_law.h).
struct RateBasis {
  RateRule rule = RateRule::kLinear;  ///< never kAuto
  std::int64_t tuned_batch = 1;       ///< the global batch for which the job states tuned_peak
  double tuned_peak = 0;
  double low = 0, high = 0;  ///< around the peak of the plan
  bool operator==(const RateBasis&) const = default;
};

/// Invariant, checked by validate(): global_batch = layout.data * micro_batch * accumulation.
struct Plan {
  static constexpr int kSchema = 1;
  std::string job;  ///< name of the job this was made for
  ModelChoice model;
  std::uint64_t model_fingerprint = 0;  ///< of the ModelGraph before any pass
  DataChoice data;
  std::int64_t dataset_samples = 0;  ///< samples per epoch
  ClusterSpec cluster;
  std::string backend = "cpu";  ///< "reference", "cpu", "cuda"
  int threads_per_rank = 1;
  Layout layout;
  PipelinePlan pipeline;           ///< read when layout.pipeline > 1
  bool sequence_parallel = false;  ///< normalisation and dropout split over the tensor ranks too
  int expert = 1;                  ///< experts of a layer are spread over so many of the data ranks
  /// Linear layers whose weights are split over the data ranks instead of copied (hybrid
  /// parallelism): batches meet at them, gradients of them do not travel.
  std::vector<std::string> sharded;
  /// ZeRO: what each data rank keeps only a part of. 0 nothing, 1 optimizer state, 2 and gradients,
  /// 3 and parameters (FSDP). Above 0 every bucket is synchronised by `shard`.
  int shard = 0;
  Recompute recompute = Recompute::kNone;
  TrainPrecision precision = TrainPrecision::kF32;
  AttentionKernel attention = AttentionKernel::kFlash;  ///< where the device has a choice
  LocalSteps local;
  std::int64_t global_batch = 1, micro_batch = 1, accumulation = 1;
  std::int64_t steps = 1;  ///< optimizer steps of the whole run
  Convergence convergence;
  OptimizerAttrs optimizer = SgdAttrs{};
  LearningRate learning_rate;           ///< already scaled to global_batch
  std::optional<RateBasis> rate_basis;  ///< unset: nothing is known of it
  bool fuse = true;                     ///< run the fuse pass
  std::vector<BucketPlan> buckets;      ///< empty when layout.data == 1
  /// Ranks that hold shards of parameter_server and factor_server buckets: of the layout
  /// (colocated), or above it on nodes of their own.
  std::vector<int> servers;
  int server_nodes = 0;  ///< the last nodes of the cluster, which only serve; 0: colocated
  /// Collectives of the layers that the next forward pass needs first go first, and the next step
  /// does not wait for the others (Peng et al. 2019).
  bool priority = false;
  std::int64_t checkpoint_every = 0;  ///< steps between checkpoints; 0: only at the end
  Evaluation evaluation;
  /// On spot nodes: the fraction of the deadline after which a run that is not done moves to
  /// on-demand nodes and stays there. Unset: never.
  std::optional<double> on_demand_after;
  std::uint64_t seed = 1;
  std::optional<Dollars> budget;  ///< guards of the run
  std::optional<Seconds> deadline;
  double confidence = 0.9;
  bool operator==(const Plan&) const = default;
};

/// Everything that can be checked without the model: the invariant above, positive sizes, servers
/// within ranks, each parameter in one bucket, ranks within the cluster's devices. Errors:
/// kInvalidInput naming the field.
Result<void> validate(const Plan& plan);
std::string to_json(const Plan& plan);
/// Strict, and validated. Errors: kInvalidInput with "plan.json:41: buckets[3].method: ...";
/// kUnsupported for a schema newer than kSchema.
Result<Plan> plan_from_json(std::string_view text, const std::string& source);
/// Fingerprint of to_json(plan): names a plan in the database and in reports.
std::uint64_t fingerprint(const Plan& plan);
/// Reverse of to_hex(): exactly 16 hexadecimal digits. Errors: kInvalidInput.
Result<std::uint64_t> parse_fingerprint(std::string_view text);

}  // namespace pluto
