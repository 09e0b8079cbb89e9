#pragma once
// Ranks that measure together start together and stop together.

#include "base/result.h"
#include "runtime/communicator.h"

namespace pluto {

/// Barrier; nothing without a communicator.
Result<void> start_together(Communicator* communicator);
/// Rank 0's `wish`, on every rank; `wish` itself without a communicator.
Result<bool> leader_decides(Communicator* communicator, bool wish);

}  // namespace pluto
