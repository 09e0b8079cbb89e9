#pragma once
// Starts this program again as ranks (directly, or through mpirun) and listens to what they say.

#include <functional>
#include <string>
#include <vector>

#include "base/document.h"
#include "base/result.h"

namespace pluto {

/// Ranks of this machine running one hidden worker verb.
struct Launch {
  std::string program;                 ///< path of this executable
  std::vector<std::string> arguments;  ///< e.g. {"worker", "run", "plan.json"}
  int ranks = 1;
  int threads_per_rank = 1;  ///< OMP_NUM_THREADS of each rank
};

/// Runs the ranks to their end. They write one JSON object per line to stdout; each goes to `hear`,
/// except {"error": ...}, which ends up in the returned error with the rank that said it first. One
/// rank runs without mpirun. SIGINT and SIGTERM are passed on as a request to stop in good order
/// (SIGUSR1), a second one kills. If this process dies, the ranks are ended. Errors: kDevice
/// (mpirun missing, not enough slots), kWorker with the first failing rank's own words, or the code
/// that rank reported.
Result<void> launch_ranks(const Launch& launch, const std::function<void(const Value&)>& hear);

/// Signal that asked this process to stop during the last launch_ranks(), or 0.
int stop_signal();

}  // namespace pluto
