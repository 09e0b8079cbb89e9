#pragma once
// Runs a plan on this rank: the other interpreter of the StepProgram.

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "executor/data_source.h"
#include "plan/lowering.h"
#include "plan/measurement.h"
#include "plan/memory_plan.h"
#include "plan/timeline.h"
#include "runtime/communicator.h"
#include "runtime/device.h"

namespace pluto {

struct RunProgress {
  std::int64_t step = 0, steps = 0;
  double loss = 0;  ///< mean over ranks of the last reported interval
  double samples_per_second = 0;
  Seconds elapsed;  ///< of training, resumed parts included
  Seconds expected_left;
};

struct RunOptions {
  std::string checkpoint_folder;      ///< empty: no checkpoints
  std::int64_t checkpoint_every = 0;  ///< steps; 0: only at the end and when stopped
  /// Continue from the newest whole checkpoint; false: start over, older ones go once there is a
  /// new one.
  bool resume = true;
  std::int64_t report_every = 50;  ///< steps between progress calls and measurements
  bool evaluate = true;            ///< accuracy on the test set at the end
  bool keep_parameters = false;    ///< a copy of them in the report
  /// 0: the plan's steps; else end when this many of them are done, resumed ones included.
  std::int64_t stop_after_steps = 0;
  MemoryOptions memory;                              ///< reuse = false is the debug mode
  bool poison_dead = false;                          ///< fill dead arena ranges with NaN
  std::function<void(const RunProgress&)> progress;  ///< rank 0 only
  /// Seconds, monotonic, thread-safe; empty: std::chrono::steady_clock.
  std::function<double()> clock;
  /// Set by a signal handler on any rank: checkpoint and return kStopped.
  const std::atomic<bool>* stop = nullptr;
};

enum class RunEnd : std::uint8_t { kFinished, kStopped, kBudget, kDeadline };

/// What rank 0 knows at the end. All times are of a typical step in steady state (the first steps
/// left out; see StepSeries).
struct RunReport {
  RunEnd end = RunEnd::kFinished;
  std::int64_t first_step = 0, last_step = 0;
  std::vector<StepMeasurement> steps;  ///< one per interval
  StepMeasurement overall;
  std::vector<ConvergencePoint> curve;
  std::optional<double> test_accuracy;
  double final_loss = 0;
  Seconds wall;  ///< of training, in this call
  Bytes arena_predicted, arena_allocated;
  Bytes resident_before, peak_resident;     ///< of the process: before the arena, at its peak
  std::uint64_t parameter_fingerprint = 0;  ///< of the final parameters, bitwise
  /// On request, on rank 0: of the whole model, in the id order of its own graph, which is the same
  /// under every plan.
  std::vector<float> parameters;
  Timeline timeline;                  ///< of one measured step, in the middle of the run
  std::string checkpoint;             ///< path of the last one
  std::vector<std::string> warnings;  ///< e.g. a damaged checkpoint that was passed over
};

/// Collective: every rank calls it with the same lowered plan and options. Between steps the ranks
/// meet at reports and checkpoints and otherwise about once a second (a small all_gather at a step
/// that rank 0 names at the meeting before); there they agree on losses, stop flags and the verdict
/// of rank 0 on budget and deadline. The run ends at the last meeting from which the next could
/// exceed one of the two. Checkpoints: docs/checkpoint_format.md; a resumed run has bit for bit the
/// losses of an uninterrupted one.
/// Errors: kDevice, kWorker naming the rank, kIo, kInvalidInput (data or checkpoint does not fit).
Result<RunReport> run_plan(const Plan& plan, const LoweredPlan& lowered, Device& device,
                           Communicator& communicator, const DataSet& data,
                           const RunContext& context, const RunOptions& options,
                           MeasurementSink* sink);

}  // namespace pluto
