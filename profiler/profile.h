#pragma once
// Pre-run profiling: what a model costs on this machine, op by op, in the cache and memory state of
// a real step.

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "plan/lowering.h"
#include "plan/measurement.h"
#include "runtime/communicator.h"
#include "runtime/device.h"

namespace pluto {

struct ProfileLimits {
  Seconds max_time = Seconds(60);  ///< of the whole call; what was recorded before stays
  double relative_half_width =
      0.02;  ///< of the 95 % interval of the median, at which repeating stops
  int min_repeats = 5, max_repeats = 200;
};

/// Called after each unit of work with a share in [0, 1] and what is being measured; may be empty.
using ProfileProgress = std::function<void(double done, const std::string& what)>;

struct ProfileOutcome {
  int measured = 0;       ///< measurements recorded
  int already_known = 0;  ///< left out because `known` had them
  bool complete = true;   ///< false: max_time ended it
};

/// Runs whole steps of the lowered plan's compute tasks (communication left out) on synthetic
/// inputs and records each op's time as median over repeats. Only signatures absent from `known`
/// (texts of OpSignature) are recorded; when none is absent nothing runs. With a communicator, all
/// its ranks run at the same time between barriers (they share memory bandwidth) and rank 0
/// records, with busy_ranks = size.
Result<ProfileOutcome> profile_ops(Device& device, const LoweredPlan& lowered,
                                   std::span<const std::string> known, const RunContext& context,
                                   const ProfileLimits& limits, Communicator* communicator,
                                   MeasurementSink& sink, const ProfileProgress& progress);

/// Size sweep of each collective the executor uses, 1 KiB to `largest`, factor 4. Records on rank 0
/// with the slowest rank's time of each repeat. `known`: "all_reduce 4096" texts (kind, bytes)
/// already in the database for this rank count.
Result<ProfileOutcome> profile_collectives(Communicator& communicator, Bytes largest,
                                           std::span<const std::string> known,
                                           const RunContext& context, const ProfileLimits& limits,
                                           MeasurementSink& sink, const ProfileProgress& progress);

/// Time of one repeat of filling one sample through `read_sample` (a reader thread's work).
Result<ProfileOutcome> profile_input(const std::string& source, Bytes bytes_per_sample,
                                     const std::function<void(std::int64_t sample)>& read_sample,
                                     std::int64_t samples, const RunContext& context,
                                     const ProfileLimits& limits, MeasurementSink& sink);

}  // namespace pluto
