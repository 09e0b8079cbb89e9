#pragma once
// Checkpoint files: written whole or not at all, verified before they are believed.
// docs/checkpoint_format.md describes every byte.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "executor/training_state.h"
#include "plan/plan.h"
#include "runtime/device.h"

namespace pluto {

/// What a checkpoint says besides its blocks.
struct CheckpointHeader {
  std::uint64_t trajectory = 0;  ///< trajectory_fingerprint(plan): what must match to go on
  std::uint64_t plan = 0;        ///< fingerprint(plan) of the writer, for people
  std::uint64_t model = 0;       ///< Plan::model_fingerprint
  std::int64_t step = 0, samples = 0;
  double elapsed = 0;                   ///< seconds of training so far
  std::int64_t interval_steps = 0;      ///< steps since the last report
  std::vector<double> interval_losses;  ///< of those, summed, by rank
  bool operator==(const CheckpointHeader&) const = default;
};

/// Fingerprint of all of the plan that decides what the parameters become. Left out: job name,
/// where it runs (cluster, backend, threads, layout, micro-batch, buckets, servers, fusion), where
/// the files lie, budget and deadline. Runs that share it may continue each other.
std::uint64_t trajectory_fingerprint(const Plan& plan);

/// Writes `folder`/step-<n>.ckpt: under a temporary name, synchronised to disk, renamed, folder
/// synchronised. Returns the path. Errors: kIo.
Result<std::string> write_checkpoint(const std::string& folder, const CheckpointHeader& header,
                                     const std::vector<StateBlock>& blocks, Device& device);
/// Removes every checkpoint of the folder but the last two of `own`: what this run wrote or
/// continued from, in that order.
void prune_checkpoints(const std::string& folder, const std::vector<std::string>& own);

/// Reads and verifies the whole file; returns its header. Errors: kNotFound, kIo, kInvalidInput
/// ("path: offset N: ...", damaged or of a newer version).
Result<CheckpointHeader> verify_checkpoint(const std::string& path);
/// Fills the places of `blocks`. Errors: those above; kInvalidInput when the blocks are not those
/// of the file.
Result<CheckpointHeader> load_checkpoint(const std::string& path,
                                         const std::vector<StateBlock>& blocks, Device& device);

/// Paths of the folder's checkpoints, newest first. A missing folder has none.
std::vector<std::string> list_checkpoints(const std::string& folder);

struct FoundCheckpoint {
  std::optional<std::string> path;
  std::vector<std::string> warnings;  ///< damaged files that were passed over
};
/// The newest whole checkpoint of this trajectory. Errors: kInvalidInput when the newest whole one
/// is of another training; kIo when there are checkpoints and all are damaged.
Result<FoundCheckpoint> find_checkpoint(const std::string& folder, std::uint64_t trajectory);

}  // namespace pluto
