#pragma once
// MLPerf's reference convergence points as tables of samples against batch.

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "plan/samples_law.h"

namespace pluto::bench {

/// One task: its newest table, the best record of each batch, runs trimmed.
struct ConvergenceTask {
  std::string family, task, unit, optimizer, source, left_out;
  std::vector<std::string> models;
  std::optional<double> exponent_mean;  ///< where p is expected elsewhere than for other tasks
  std::vector<BatchPoint> points;       ///< in rising order of batch
  std::vector<double> rates;            ///< learning rate of each point
  double seed_spread = 0;               ///< median over the points
};

/// `folder`: data/measured, with mlperf_tasks.csv and mlperf_rcp.csv. Of the runs of a record those
/// beyond a factor 3 of their median are dropped, then the least and the most.
Result<std::vector<ConvergenceTask>> read_convergence_tasks(const std::string& folder);

}  // namespace pluto::bench
