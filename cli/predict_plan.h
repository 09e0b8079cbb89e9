#pragma once
// predict, for a saved plan: the same numbers again.

#include <string>

#include "cli/commands.h"

namespace pluto {

/// Whether the file is a plan and no job: a JSON document with a model_fingerprint. False for what
/// cannot be read, which is then an error of the job.
bool is_plan_file(const std::string& path);

/// Prints a saved plan priced with what the database holds now: with the same database the numbers
/// of the search that wrote it. Exit code 3 when it does not fit. Errors: those of PlanPricer.
Result<int> predict_saved_plan(Session& session, const std::string& path);

}  // namespace pluto
