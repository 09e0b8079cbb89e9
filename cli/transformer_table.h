#pragma once
// How a priced plan of a transformer looks on a screen and in --json.

#include <string>
#include <vector>

#include "base/document.h"
#include "planner/transformer_fit.h"

namespace pluto {

/// Heading and one row for format_table().
std::vector<std::vector<std::string>> transformer_rows(const PricedTransformer& priced);
/// Memory of the fullest device by category, what the framework reserves, and what the device has.
std::vector<std::vector<std::string>> transformer_memory_rows(const PricedTransformer& priced);
/// Layout, precision, prediction, memory, mfu, fits.
Value transformer_value(const PricedTransformer& priced);

/// `pluto-plan predict JOB --set ...` with the changes in place of what was typed for their keys.
std::string nearest_command(const std::string& job, const std::vector<std::string>& typed,
                            const NearestFit& nearest);

}  // namespace pluto
