#pragma once
// Which short runs to measure: a grid of small GPT models on one node, and tables of runs as CSV.

#include <span>
#include <string>
#include <vector>

#include "costmodel/transformer_points.h"
#include "plan/cluster.h"

namespace pluto {

/// Every run of a grid that fits one node of the instance and its memory: 8 to 24 layers, widths
/// 1,024 to 4,096, sequences 1,024 and 2,048, micro-batches 1 to 8, tensor x pipeline x data up to
/// the node, recomputing none and full; four micro-batches a step, in the 16-bit type the device
/// has. A few seconds each. Empty when the device has no 16-bit type.
std::vector<TransformerRow> candidate_runs(const InstanceType& instance);

/// The rows as read_transformer_points() reads them; a step not measured is an empty cell, and what
/// is the default as well.
std::string to_csv(std::span<const TransformerRow> rows);

}  // namespace pluto
