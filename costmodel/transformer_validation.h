#pragma once
// Tables of measured transformer steps, and how well predictions agree with them.

#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "costmodel/step_errors.h"
#include "costmodel/transformer_calibration.h"
#include "costmodel/transformer_costs.h"
#include "costmodel/transformer_points.h"

namespace pluto {

/// One published table.
struct TransformerFamily {
  std::string name;  ///< of its file in data/measured, without ".csv"
  std::vector<TransformerRow> rows;
};

/// Constants by generation of device ("A100"), the first word of its name.
using CostsByGeneration = std::map<std::string, TransformerCosts>;
std::string generation(const TransformerRow& row);

/// The tables in `data_folder`/measured, with the devices of `data_folder`/catalog. Errors: those
/// of the readers.
Result<std::vector<TransformerFamily>> load_transformer_families(const std::string& data_folder);
/// The constants that `table` ships for every generation in the families.
CostsByGeneration shipped_costs(std::span<const TransformerFamily> families,
                                const TransformerCostTable& table);

/// Constants from rows with a time of all families but those of `system`, started at what was
/// believed before any measurement: A100 rows first, then each other generation from there.
/// Generations without rows have the A100's. A system is what families share: "vtrain" for two.
CostsByGeneration fit_without(std::span<const TransformerFamily> families,
                              const std::string& system, const TransformerCosts& believed);
std::string system_of(const std::string& family);

/// Of the rows that have a time.
StepErrors errors_of(std::span<const TransformerRow> rows, const CostsByGeneration& costs);
/// The prediction beside the measurement. Precondition: the row has a time.
ScoredStep scored(const TransformerRow& row, const CostsByGeneration& costs);

/// Ranking inside groups of rows with the same model, cluster, devices and global batch.
struct PlanRanking {
  int groups = 0;
  double tau = 0;  ///< mean Kendall tau-b of the groups
  /// How much slower the plan predicted fastest is than the fastest, relative.
  double mean_regret = 0, worst_regret = 0;
};
PlanRanking ranking_of(std::span<const TransformerRow> rows, const CostsByGeneration& costs);

/// `count` rows that together say most about the constants before they are measured: each next one
/// is that whose predicted step is least certain given the chosen ones (greedy D-optimal design).
std::vector<std::size_t> informative(std::span<const TransformerRow> rows, std::size_t count,
                                     const TransformerCosts& costs, double noise);

/// All terms 0 when the row cannot be predicted.
TransformerStep predicted_step(const TransformerRow& row, const CostsByGeneration& costs);

}  // namespace pluto
