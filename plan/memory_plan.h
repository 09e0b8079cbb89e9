#pragma once
// Lifetimes and offsets, computed once: the predictor reads the peak, the executor allocates it.

#include <functional>
#include <vector>

#include "base/result.h"
#include "plan/step_program.h"

namespace pluto {

/// Bytes by category; `total` is what one rank allocates (one arena), `resident` adds nothing the
/// arena does not hold.
struct MemoryBreakdown {
  Bytes parameters, buffers, gradients, optimizer_state;  ///< flat blocks
  Bytes inputs;         ///< batch tensors: two sets, one being filled while the other is used
  Bytes activations;    ///< peak of everything with a lifetime
  Bytes workspace;      ///< largest scratch of any kernel
  Bytes communication;  ///< staging of collectives
  Bytes total() const {
    return parameters + buffers + gradients + optimizer_state + inputs + activations + workspace +
           communication;
  }
  bool operator==(const MemoryBreakdown&) const = default;
};

/// Offsets into one arena. Blocks and activations are 64-byte aligned. Parameters, gradients and
/// each kind of optimizer state are one block without padding, in the order of
/// TrainingGraph::trained, so that a bucket is a slice.
/// A reshape whose two tensors have the same offset has nothing to do; with different offsets (of
/// an input or a parameter) it copies.
struct MemoryPlan {
  MemoryBreakdown breakdown;
  std::vector<Bytes> offset;  ///< by TensorId
  std::vector<Bytes> size;    ///< by TensorId, of one rank at the plan's micro-batch: held_bytes()
  Bytes input_set_stride;     ///< second input set = offset + this, for tensors with role input
  Bytes workspace_offset, communication_offset;
  TaskId peak_task;  ///< where live activations are largest; invalid without activations
  Bytes peak_live;   ///< their sum there; breakdown.activations is at least that
  /// By TensorId: the compute node that is the last to need the memory of an activation in its
  /// micro-batch; invalid: never free, or no activation.
  std::vector<OpId> free_after;
};

struct MemoryOptions {
  /// false: every tensor its own place (the debug mode that must give bitwise the same step)
  bool reuse = true;
};

/// Scratch bytes of a node; from a compiled kernel or a measurement. Nodes never seen: 0. An empty
/// function: 0 for all.
using WorkspaceOf = std::function<Bytes(const Op&)>;

/// Places everything one rank holds. Lifetimes: plan/lifetimes.h; the loss has a place of its own,
/// the logits live to the end of the forward phase (evaluation reads them). Same-bytes aliases
/// share their place, and nodes that may overwrite an operand do so when it ends with them.
/// Offsets: size-ordered best fit, O(n^2) worst case. Forward nodes alone (evaluation) run in the
/// same places.
MemoryPlan plan_memory(const TrainingGraph& training, const StepProgram& program,
                       const WorkspaceOf& workspace, const MemoryOptions& options = {});

/// The staging the collectives of a program need on one rank, one at a time: the largest of
/// all_reduce ceil(n / ranks) (halving_doubling and hierarchical n / 2, tree and
/// recursive_doubling n) and reduce_scatter ceil(n / servers) elements of 4 bytes. Source: the
/// algorithms of runtime/communicator.h, one incoming chunk at a time; of the others the largest
/// message.
Bytes communication_staging(const StepProgram& program);

}  // namespace pluto
