#pragma once
// Tables of measured transformer steps, and how well predictions agree with them.

#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "costmodel/transformer_calibration.h"
#include "costmodel/transformer_costs.h"
#include "costmodel/transformer_points.h"

namespace pluto::bench {

struct Family {
  std::string name;
  std::vector<TransformerRow> rows;
};

/// Constants by generation of device ("A100"), the first word of its name.
using CostsByGeneration = std::map<std::string, TransformerCosts>;
std::string generation(const TransformerRow& row);

/// data/measured of `root`. Errors: those of the readers.
Result<std::vector<Family>> load_families(const std::string& root);

/// Constants from rows with a time of all families but those of `system`, started at what was
/// believed before any measurement: A100 rows first, then each other generation from there.
/// Generations without rows have the A100's. A system is what families share: "vtrain" for two.
CostsByGeneration fit_without(const std::vector<Family>& families, const std::string& system,
                              const TransformerCosts& believed);
std::string system_of(const std::string& family);

struct Errors {
  std::vector<double> relative;  ///< predicted / measured - 1
  double median = 0, p90 = 0, bias = 0, coverage = 0;
};
Errors errors_of(std::span<const TransformerRow> rows, const CostsByGeneration& costs);

/// Ranking inside groups of rows with the same model, cluster, devices and global batch.
struct Ranking {
  int groups = 0;
  double tau = 0;  ///< mean Kendall tau-b of the groups
  double mean_regret = 0, worst_regret = 0;
};
Ranking ranking_of(std::span<const TransformerRow> rows, const CostsByGeneration& costs);

/// `count` rows that together say most about the constants before they are measured: each next one
/// is that whose predicted step is least certain given the chosen ones (greedy D-optimal design).
std::vector<std::size_t> informative(std::span<const TransformerRow> rows, std::size_t count,
                                     const TransformerCosts& costs, double noise);

TransformerStep predicted(const TransformerRow& row, const CostsByGeneration& costs);

}  // namespace pluto::bench
