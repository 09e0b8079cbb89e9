#pragma once
// Paths and variables of the user's surroundings; the only reader of the environment outside
// runtime/.

#include <string>

#include "base/result.h"
#include "cli/commands.h"

namespace pluto {

/// Fills in what the command line left open: database, data folder, path of the executable. `argv0`
/// as given to main(). Errors: kNotFound when no data folder is found (lists where it looked).
Result<void> resolve_environment(Session& session, const std::string& argv0);

/// Creates the folder and its parents. Errors: kIo.
Result<void> make_folder(const std::string& path);

/// $XDG_STATE_HOME/pluto/runs, or its default: where checkpoints go unless told otherwise.
std::string default_runs_folder();

}  // namespace pluto
