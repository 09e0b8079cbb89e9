#pragma once
// The verbs. Each add_*() declares its flags and leaves a closure in the session; main() runs it.

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "cli/terminal.h"

namespace CLI {
class App;
}

namespace pluto {

/// What every verb shares. Paths are resolved before a verb runs.
struct Session {
  bool json = false, quiet = false;
  std::string database;     ///< profile database; default $XDG_DATA_HOME/pluto/profiles.db
  std::string data_folder;  ///< catalog and efficiency tables
  std::string program;      ///< path of this executable, to start workers
  std::unique_ptr<Terminal> terminal;
  /// Runs the chosen verb; returns the exit code of an outcome, or an error.
  std::function<Result<int>()> action;
};

void add_doctor(CLI::App& app, Session& session);
void add_inspect(CLI::App& app, Session& session);
void add_profile(CLI::App& app, Session& session);
void add_predict(CLI::App& app, Session& session);
void add_search(CLI::App& app, Session& session);
void add_run(CLI::App& app, Session& session);
void add_report(CLI::App& app, Session& session);
void add_db(CLI::App& app, Session& session);
void add_catalog(CLI::App& app, Session& session);
void add_calibrate(CLI::App& app, Session& session);
void add_fit(CLI::App& app, Session& session);
void add_validate(CLI::App& app, Session& session);
/// Not for people: the ranks that profile and run start.
void add_worker(CLI::App& app, Session& session);

}  // namespace pluto
