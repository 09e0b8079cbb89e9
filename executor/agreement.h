#pragma once
// What the ranks settle together between two steps: losses, whether to stop, when to look again.

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "base/result.h"
#include "executor/run.h"

namespace pluto {

/// One rank's part in a check. Equal on every rank after exchange_checks(), one per rank.
struct Check {
  double loss_sum = 0;  ///< of the steps since the last report, mean over this rank's micro-batches
  std::int64_t stop = 0;   ///< 1: this rank was asked to stop
  std::int64_t guard = 0;  ///< rank 0: RunEnd of the guard that ends the run; kFinished: none does
  std::int64_t next_check = 0;  ///< rank 0: the step before which the ranks meet again
  double elapsed = 0;           ///< rank 0: seconds of training
};

/// One all_gather of a few bytes.
Result<std::vector<Check>> exchange_checks(Communicator& communicator, const Check& own);

/// Makes a failure of one rank a failure of all: returns `own` if it is an error, else kWorker
/// naming the first rank that failed. One all_gather of a byte per rank.
Result<void> agree(Communicator& communicator, const Result<void>& own);

/// Budget and deadline. A run ends at the last check from which the next one cannot be reached
/// within both.
struct Guards {
  std::optional<Dollars> budget;
  std::optional<Seconds> deadline;
  DollarsPerHour price;
  /// `ahead`: time until the run could be ended next, its checkpoint included.
  RunEnd verdict(Seconds elapsed, Seconds ahead) const;
};

}  // namespace pluto
