#pragma once
// Whole runs to a target, predicted from hardware, model, batch and stated epochs, against what was
// reported.

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "costmodel/step_errors.h"
#include "costmodel/training_step.h"

namespace pluto {

/// A part of a run whose steps are alike.
struct RunPhase {
  std::int64_t image = 0;  ///< height and width; 0: the model's own
  double epochs = 0;
  std::int64_t batch = 1;  ///< of one GPU
};

/// A row of a table of runs.
struct ReportedRun {
  std::string name;
  TrainingRow row;  ///< model, cluster and framework; batch and image size are the phases'
  std::vector<RunPhase> phases;
  double epoch_samples = 0;
  double evaluated_samples = 0;  ///< in all; 0: the reported time has no evaluation
  Seconds time;
  std::optional<DollarsPerHour> hourly;  ///< of all nodes, as reported or as the note says
  std::optional<Dollars> price;          ///< as reported
  std::string unpredictable;             ///< why there is no prediction; empty: there is one
  std::string assumed;                   ///< what of the row nobody stated; empty: nothing
  std::string note, source;
  int line = 0;
};

/// Columns as data/README.md describes them. Errors: kNotFound, kInvalidInput with file:line.
Result<std::vector<ReportedRun>> read_reported_runs(const std::string& path,
                                                    const std::map<std::string, Machine>& machines,
                                                    const FrameworkTable& frameworks);

/// Relative spread of runs on systems whose own steps were not measured: hosts, storage, clocks and
/// software versions differ from those that data/frameworks.json saw. Source: the even lines of
/// data/measured/mlperf_runs.csv, so that four of five are between p10 and p90; on the odd lines
/// as many are, but many rows are of one kind of system.
inline constexpr double kUnseenSystem = 0.088;

/// Formula: T = sum over phases of epochs * samples / (GPUs * batch) * step(image, batch), plus
///   evaluated samples / (GPUs * batch) * forward, forward a third of the last phase's operators.
///   The spread is that of the steps, time-weighted (one framework errs alike), with kRunSpread and
///   kUnseenSystem, and for rows of which something is assumed least_spread(kAssumed).
/// Source: arithmetic. Valid for: runs whose epochs are stated: what is tested is steps, volumes
/// and
///   sums, not convergence. Ignores: start-up, which the reported times leave out; checkpoints.
///   Calibrated by: kUnseenSystem alone; the steps by data/frameworks.json. Test:
///   costmodel/run_validation_test.cc.
/// Errors: those of StepPredictor.
Result<ScoredStep> predict_run(const ReportedRun& run, StepPredictor& predictor);

/// A table of runs with what was predicted for each.
struct ValidatedRuns {
  std::string family;
  std::vector<ReportedRun> runs;
  std::vector<std::optional<ScoredStep>> times;   ///< one for each run
  std::vector<std::optional<ScoredStep>> prices;  ///< where a price is known
};

/// Names of the tables that validate_runs() reads, in data/measured.
const std::vector<std::string>& run_families();
/// Errors: those of the readers and of predict_run().
Result<std::vector<ValidatedRuns>> validate_runs(const std::string& data_folder);

}  // namespace pluto
