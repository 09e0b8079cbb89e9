#pragma once
// How predictions of whole runs look on a screen and in --json.

#include <string>
#include <vector>

#include "base/document.h"
#include "costmodel/run_validation.h"

namespace pluto {

/// One row for each family: runs, predicted, errors and coverage of time and of price.
std::vector<std::vector<std::string>> run_error_rows(const std::vector<ValidatedRuns>& families);
/// The largest errors first, at most `most`: error, where, predicted and reported time, note.
std::vector<std::vector<std::string>> worst_run_rows(const std::vector<ValidatedRuns>& families,
                                                     std::size_t most);
/// "28 of 35 without prediction: 12 no GPU, ...", for each family that has such runs.
std::vector<std::string> unpredicted_lines(const std::vector<ValidatedRuns>& families);
Value run_errors_value(const std::vector<ValidatedRuns>& families);

}  // namespace pluto
