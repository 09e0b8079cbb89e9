#pragma once
// What others measured of samples against batch: data/convergence.json, and files of own points.

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "plan/job.h"
#include "planner/convergence_fit.h"

namespace pluto {

/// A task whose convergence others measured at several batches.
struct ConvergenceFamily {
  double critical_batch = 1;  ///< fitted, in samples
  double exponent = 1;
  double seed_spread = 0;  ///< of ln(samples), from run to run
  std::vector<BatchPoint> points;
  std::vector<std::string> models;  ///< of the zoo, that `source: auto` takes it for
  std::string source;
  bool epochs = false;                 ///< the points count epochs of its data set, else samples
  std::optional<TargetMetric> target;  ///< what the points reach; unset: not known
};

struct ConvergenceTable {
  ConvergenceSpreads spreads;
  ConvergenceFitOptions fit;
  double noise_factor = 1;  ///< critical batch over a noise scale measured at a small batch
  double noise_reach = 2;   ///< reached at so many times the measuring batch
  double lars_exponent = 0;
  double band_exponent = 0;  ///< of RateBand
  std::map<std::string, ConvergenceFamily> families;
};

/// Strict. Errors: kNotFound, kInvalidInput with file:line.
Result<ConvergenceTable> load_convergence_table(const std::string& path);

/// Points of a CSV file: columns `batch` and one of `samples`, `epochs`; optionally `runs` (of
/// which the row is the mean) and `spread` (relative, of one run). Rows of one batch are runs of
/// it: they become one point. In rising order of batch. Errors: kInvalidInput with "file:line:
/// ...".
Result<std::vector<BatchPoint>> parse_convergence_points(std::string_view text,
                                                         const std::string& source);
Result<std::vector<BatchPoint>> read_convergence_points(const std::string& path);

/// The law of points: as measured between them, as fitted beyond.
Result<SamplesLaw> law_of_points(std::vector<BatchPoint> points, const ConvergenceTable& table,
                                 std::string source);
SamplesLaw law_of_family(const ConvergenceTable& table, const std::string& name);

/// Fills job.samples_law, job.lars_exponent and job.band_exponent; leaves the rest of a job alone
/// that says nothing of convergence. A target metric becomes the epochs or samples that the points
/// need at the batch the rate was tuned for (else the fixed one): those of a family for the value
/// they were trained to, those of a file for whatever its owner trained to. "auto" takes the stated
/// numbers, else the family that names the job's model. Errors: kInvalidInput for another metric or
/// value than the family's, with what is known; for an unknown family, with the nearest; for "auto"
/// and a model of no family; those of read_convergence_points.
Result<void> look_up_convergence(TrainingJob& job, const ConvergenceTable& table);

}  // namespace pluto
