#pragma once
// What is decided: complete, so that the executor decides nothing.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "plan/cluster.h"
#include "plan/job.h"

namespace pluto {

/// Degrees of parallelism; their product is the number of ranks.
struct Layout {
  int data = 1, tensor = 1, pipeline = 1;
  int ranks() const { return data * tensor * pipeline; }
  bool operator==(const Layout&) const = default;
};

/// A bucket by parameter names (stable across processes), in gradient order.
struct BucketPlan {
  SyncMethod method = SyncMethod::kAllReduce;
  std::vector<std::string> parameters;
  bool operator==(const BucketPlan&) const = default;
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
  std::int64_t global_batch = 1, micro_batch = 1, accumulation = 1;
  std::int64_t steps = 1;  ///< optimizer steps of the whole run
  OptimizerAttrs optimizer = SgdAttrs{};
  LearningRate learning_rate;       ///< already scaled to global_batch
  bool fuse = true;                 ///< run the fuse pass
  std::vector<BucketPlan> buckets;  ///< empty when layout.data == 1
  std::vector<int> servers;  ///< ranks that hold shards of parameter_server buckets (colocated)
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
