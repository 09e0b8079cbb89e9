#pragma once
// Limits that could be met, each as a command to type.

#include <string>
#include <vector>

#include "cli/search_job.h"

namespace pluto {

/// Rows for format_table() under a heading: the least budget at the deadline, the least deadline at
/// the budget, the probability with which both are met (from 0.5), and, where neither limit can be
/// met by changing the other, the nearest plan with both changed. Only the heading when no plan
/// fits a device. Commands keep what was typed; limits in them are rounded up.
std::vector<std::vector<std::string>> nearest_rows(const TrainingJob& job,
                                                   const SearchResult& result,
                                                   const SearchOptions& typed);

}  // namespace pluto
