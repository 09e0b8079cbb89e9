#pragma once
// The memory a framework with a caching allocator holds while it trains a graph op by op.

#include <optional>

#include "plan/caching_allocator.h"
#include "plan/memory_plan.h"
#include "plan/step_program.h"

namespace pluto {

struct FrameworkMemory {
  Bytes allocated;  ///< peak of what tensors use
  Bytes reserved;   ///< peak of what the allocator holds: what the device must have besides context
  bool operator==(const FrameworkMemory&) const = default;
};

/// Replays three steps of eager training as PyTorch runs it: parameters and buffers from the start,
/// inputs and activations from the op that makes them to the last that reads them, a scratch block
/// around each op, gradients from their first micro-batch to the end of the step
/// (zero_grad(set_to_none=True)), optimizer state from the first update on. Same-bytes aliases are
/// views; no op overwrites an operand.
/// nullopt: an allocation found no place within `capacity`, so the training does not start.
/// Valid for: one process per device, one stream. Ignores: buckets of gradient exchange (one more
/// copy of the gradients where a framework keeps them apart), the context of the device.
/// Test: plan/allocator_replay_test.cc.
std::optional<FrameworkMemory> replay_caching_allocator(
    const TrainingGraph& training, const StepProgram& program, const WorkspaceOf& workspace,
    std::optional<Bytes> capacity = std::nullopt);

}  // namespace pluto
