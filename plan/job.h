#pragma once
// What is wanted: the training job as its owner states it.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/document.h"
#include "base/result.h"
#include "base/units.h"
#include "model/passes/passes.h"
#include "model/training_graph.h"
#include "model/zoo.h"
#include "plan/samples_law.h"
#include "plan/strategy.h"
#include "plan/target.h"

namespace pluto {

struct ModelChoice {
  std::string source;  ///< zoo name or path of an ONNX / config.json file
  ZooOptions options;
  bool operator==(const ModelChoice&) const = default;
};

/// Where samples come from: "fashion-mnist" (IDX files), "synthetic" (deterministic noise of the
/// model's input shapes).
struct DataChoice {
  std::string source = "synthetic";
  std::optional<std::string>
      path;  ///< folder of the files; default: where the Debian package puts them
  std::optional<std::int64_t> samples;  ///< default: all; synthetic needs it
  int readers = 1;                      ///< reader threads per rank
  int queue = 1;  ///< micro-batches read ahead of the step; 0: reading waits for the step
  std::optional<Bytes> stored_sample = {};  ///< a sample as it is stored; default: as its tensors
  std::optional<Seconds> sample_time = {};  ///< of one reader for a sample; default: as measured
  std::optional<BytesPerSecond> storage =
      {};  ///< what the storage gives one node; default: no bound
  bool operator==(const DataChoice&) const = default;
};

enum class ScheduleKind : std::uint8_t { kConstant, kCosine, kLinear, kStep };
const char* to_text(ScheduleKind kind);  ///< "constant", "cosine", "linear", "step"
Result<ScheduleKind> parse_schedule_kind(std::string_view text);

/// Learning rate over samples seen: linear warm-up to `peak`, then the schedule. kStep: `rates[i]`
/// holds until `boundaries[i]` samples (warm-up still applies), the last of the boundaries.size() +
/// 1 rates after that; `peak` is the first rate.
struct LearningRate {
  double peak = 0.1;
  ScheduleKind schedule = ScheduleKind::kConstant;
  std::int64_t warmup_samples = 0;
  std::vector<double> rates = {};
  std::vector<std::int64_t> boundaries = {};
  bool operator==(const LearningRate&) const = default;
};
/// Rate of the step that starts when `samples_seen` of the run's `total_samples` have been used.
/// Formula, with w = warmup_samples, T = total_samples, x = (s - w) / (T - w) limited to [0, 1]:
///   s < w     peak * s / w                          (Goyal et al. 2017, section 2.2)
///   constant  peak
///   cosine    peak * (1 + cos(pi x)) / 2            (Loshchilov and Hutter 2017, eq. 5, one
///   period, minimum 0) linear    peak * (1 - x) step      rates[number of boundaries <= s], times
///   s / w during warm-up
double learning_rate_at(const LearningRate& schedule, std::int64_t samples_seen,
                        std::int64_t total_samples);
/// The schedule with every rate times `factor`: what a change of the global batch asks for.
LearningRate scaled(LearningRate schedule, double factor);

/// Measuring the model on samples that are kept apart. The bundled executor does it at the end.
struct Evaluation {
  std::int64_t samples = 0;  ///< each time; 0: never
  std::int64_t every = 0;    ///< steps; 0: only at the end
  bool operator==(const Evaluation&) const = default;
};

/// Whether a plan may run on nodes that the provider can take back.
enum class SpotUse : std::uint8_t { kAuto, kNever, kOnly };
const char* to_text(SpotUse use);  ///< "auto", "never", "only"
Result<SpotUse> parse_spot_use(std::string_view text);

enum class Objective : std::uint8_t { kCost, kTime, kRisk };
const char* to_text(Objective objective);  ///< "cost", "time", "risk"
Result<Objective> parse_objective(std::string_view text);

/// What the owner fixes about how the model is spread. Unset: data is what the ranks leave, the
/// others are 1, off, or chosen.
struct StrategyChoice {
  std::optional<int> data, tensor, pipeline, context, interleave;
  std::optional<int> shard;  ///< ZeRO stage, 0 to 3
  std::optional<int> nodes;  ///< rented; unset: as many as the ranks need
  std::optional<bool> sequence_parallel;
  std::optional<Recompute> recompute;
  /// Whether anything but the number of nodes is fixed.
  bool any() const {
    return data || tensor || pipeline || context || interleave || shard || sequence_parallel ||
           recompute;
  }
};

/// How the learning rate follows the global batch (planner/batch_law.h).
enum class RateRule : std::uint8_t { kAuto, kLinear, kGain, kSquareRoot, kLars, kLamb };
const char* to_text(RateRule rule);  ///< "auto", "linear", "gain", "square_root", "lars", "lamb"
Result<RateRule> parse_rate_rule(std::string_view text);

/// What the owner says about the samples that the target needs at other batches.
struct ConvergenceChoice {
  /// Empty: nothing beyond the numbers below. "fixed": as many at every batch. "auto": the numbers
  /// below, else the family of the model. "x.csv": measured points. Else a family of
  /// data/convergence.json.
  std::string source = {};
  /// Bc of E(B) = Emin (1 + (B/Bc)^exponent), in samples.
  std::optional<double> critical_batch = {};
  std::optional<double> exponent = {};                 ///< default 1
  std::optional<double> noise_scale = {};              ///< tr(Sigma) / |G|^2, in samples
  std::optional<std::int64_t> noise_scale_batch = {};  ///< global batch it was measured at
  /// Whether samples at another batch follow from it.
  bool given() const { return !source.empty() || critical_batch || noise_scale; }
  bool operator==(const ConvergenceChoice&) const = default;
};

/// A state of the model: "accuracy" 0.759.
struct TargetMetric {
  std::string name;
  double value = 0;
  bool operator==(const TargetMetric&) const = default;
};

/// The word of `sync.allow` that is no method.
inline constexpr const char* kLocalSgd = "local_sgd";

struct TrainingJob {
  std::string name;
  ModelChoice model;
  DataChoice data;
  // Target: exactly one is set. A metric becomes epochs or samples when its source is looked up
  // (planner/convergence_table.h), and stays as what they are for.
  std::optional<double> epochs;
  std::optional<std::int64_t> target_samples;
  std::optional<std::int64_t> target_steps;
  std::optional<TargetMetric> target_metric;
  std::optional<Dollars> budget;
  std::optional<Seconds> deadline;
  double confidence = 0.9;
  Objective minimize = Objective::kCost;
  OptimizerAttrs optimizer = SgdAttrs{};
  std::optional<std::int64_t> global_batch;  ///< unset: chosen up to max_global_batch; then that
                                             ///< and convergence must be given
  std::optional<std::int64_t> max_global_batch;
  std::optional<std::int64_t> micro_batch;  ///< unset: chosen
  ConvergenceChoice convergence;
  /// What `convergence` came to once its source was looked up (planner/convergence_table.h).
  std::optional<SamplesLaw> samples_law;
  TrainPrecision precision = TrainPrecision::kF32;      ///< of matrix products
  AttentionKernel attention = AttentionKernel::kFlash;  ///< where the device has a choice
  StrategyChoice strategy;
  LearningRate learning_rate;  ///< peak holds at `learning_rate_batch`
  std::optional<std::int64_t> learning_rate_batch;
  RateRule rate_rule = RateRule::kAuto;
  std::optional<double> lars_exponent;  ///< of RateRule::kLars; looked up with samples_law
  std::optional<double> band_exponent;  ///< of RateBand (planner/batch_law.h); looked up too
  bool warmup_chosen = false;           ///< the warm-up follows from a rule: warmup_for()
  bool readers_chosen = false;          ///< data.readers is at least that, and chosen
  /// Of learning_rate.steps: where rates change, in epochs; learning_rate.boundaries follow from
  /// them once the data set is known. Empty: no such schedule.
  std::vector<double> step_epochs;
  std::vector<SyncMethod> allowed_sync = {SyncMethod::kAllReduce, SyncMethod::kParameterServer,
                                          SyncMethod::kSufficientFactor};
  /// Whether copies may drift apart for some steps (LocalSteps): nobody knows at what cost in
  /// samples, so it is asked for. In `sync.allow`: local_sgd.
  bool local_allowed = false;
  // Where: instance names of the catalog; "local" is this machine.
  std::vector<std::string> instances = {"local"};
  std::optional<int> ranks;      ///< fixed; unset: chosen in [min_ranks, max_ranks]
  std::optional<int> min_ranks;  ///< of a choice
  std::optional<int> max_ranks;
  std::optional<DollarsPerHour> local_price;  ///< price of one hour of "local"
  SpotUse spot = SpotUse::kAuto;
  std::vector<RunTarget> targets;  ///< each must be able to run the plan; empty: any plan
  Evaluation evaluation;
  std::int64_t checkpoint_every = 0;  ///< steps; 0: only at the end
  std::uint64_t seed = 1;
};

/// Reads job.yaml (or .json; "-" is standard input); docs/job_format.md lists the keys. Strict:
/// unknown keys, wrong kinds and impossible values are kInvalidInput with "job.yaml:12: key: ..."
/// and a help line. A deadline given as an ISO time is measured from `now_utc` (seconds since the
/// epoch). Relative paths in the job are relative to the folder of the job file.
Result<TrainingJob> read_job(const std::string& path, double now_utc);
/// The same for a parsed document; `source` names it in errors. Relative paths stay as they are.
Result<TrainingJob> job_from_value(const Value& document, const std::string& source,
                                   double now_utc);
/// The rules read_job applies, for a job changed afterwards (by flags). Errors: kInvalidInput
/// "budget: must be above zero, is -5".
Result<void> validate(const TrainingJob& job);
/// "90m", or an ISO 8601 time with its zone ("2026-12-01T08:00Z"): the time left from `now_utc`.
/// Errors: kInvalidInput; also when it is past.
Result<Seconds> parse_deadline(std::string_view text, double now_utc);

}  // namespace pluto
