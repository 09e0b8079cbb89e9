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
#include "costmodel/transformer_layer_factor.h"
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

/// Constants from rows with a time of all families but those of `system`, started at what `table`
/// believed before any measurement: A100 rows first, then each other generation of the families
/// from there and from what was believed of its device. A system is what families share: "vtrain"
/// for two.
CostsByGeneration fit_without(std::span<const TransformerFamily> families,
                              const std::string& system, const TransformerCostTable& table);
std::string system_of(const std::string& family);

/// Of the rows that have a time. `factors` here and below: of layers measured on the one device
/// that the rows ran on.
StepErrors errors_of(std::span<const TransformerRow> rows, const CostsByGeneration& costs,
                     const LayerFactors& factors = {});
/// The prediction beside the measurement. Precondition: the row has a time.
ScoredStep scored(const TransformerRow& row, const CostsByGeneration& costs,
                  const LayerFactors& factors = {});

/// Ranking inside groups of rows with the same model, cluster, devices and global batch.
struct PlanRanking {
  int groups = 0;
  double tau = 0;  ///< mean Kendall tau-b of the groups
  /// How much slower the plan predicted fastest is than the fastest, relative.
  double mean_regret = 0, worst_regret = 0;
};
PlanRanking ranking_of(std::span<const TransformerRow> rows, const CostsByGeneration& costs,
                       const LayerFactors& factors = {});

/// All terms 0 when the row cannot be predicted.
TransformerStep predicted_step(const TransformerRow& row, const CostsByGeneration& costs,
                               const LayerFactors& factors = {});

}  // namespace pluto
