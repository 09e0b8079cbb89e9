#include "cli/environment.h"

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <vector>

namespace pluto {

namespace {

namespace fs = std::filesystem;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

/// The XDG folder `name`, or `fallback` below the home folder, or below /tmp without a home.
fs::path user_folder(const char* name, const char* fallback) {
  if (const std::string given = variable(name); !given.empty()) return fs::path(given) / "pluto";
  const std::string home = variable("HOME");
  return fs::path(home.empty() ? "/tmp" : home) / fallback / "pluto";
}

}  // namespace

Result<void> make_folder(const std::string& path) {
  std::error_code problem;
  fs::create_directories(path, problem);
  if (problem)
    return io_error(fmt::format("{}: cannot make this folder: {}", path, problem.message()));
  return {};
}

std::string default_runs_folder() {
  return (user_folder("XDG_STATE_HOME", ".local/state") / "runs").string();
}

Result<void> resolve_environment(Session& session, const std::string& argv0) {
  std::error_code problem;
  const fs::path self = fs::read_symlink("/proc/self/exe", problem);
  session.program = problem ? argv0 : self.string();

  if (session.database.empty()) session.database = variable("PLUTO_DB");
  if (session.database.empty())
    session.database = (user_folder("XDG_DATA_HOME", ".local/share") / "profiles.db").string();

  if (session.data_folder.empty()) session.data_folder = variable("PLUTO_DATA");
  if (!session.data_folder.empty()) return {};
  const fs::path bin = fs::path(session.program).parent_path();
  const std::vector<fs::path> places = {bin / ".." / "share" / "pluto", fs::path(PLUTO_BUILD_DATA)};
  for (const fs::path& place : places) {
    if (fs::exists(place / "efficiency.json", problem)) {
      session.data_folder = fs::weakly_canonical(place, problem).string();
      return {};
    }
  }
  return not_found(
      fmt::format("the data folder (catalog, efficiency tables) is neither at {} nor at {}",
                  places[0].string(), places[1].string()),
      "name it with --data FOLDER or PLUTO_DATA");
}

}  // namespace pluto
