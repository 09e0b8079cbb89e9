#pragma once
// From when to when an activation needs its memory.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "plan/step_program.h"

namespace pluto {

/// Nodes begin to end, both included, in id order: while they run on the compute stream, the memory
/// belongs to the tensor. The same in every micro-batch.
struct Lifetime {
  std::int64_t begin = 0, end = -1;
  bool empty() const { return end < begin; }
  bool overlaps(const Lifetime& other) const {
    return !empty() && !other.empty() && begin <= other.end && other.begin <= end;
  }
  /// The smallest lifetime that holds both.
  Lifetime joined(const Lifetime& other) const {
    if (empty()) return other;
    if (other.empty()) return *this;
    return {std::min(begin, other.begin), std::max(end, other.end)};
  }
  bool operator==(const Lifetime&) const = default;
};

/// Lifetimes by TensorId; empty for tensors that are no activations. The compute stream runs in
/// issue order and is the clock; a task of another resource may run at any time between the last
/// compute task before it (by dependencies and the order of its own resource) and the first compute
/// task that waits for it, so it holds what it reads or writes for all that time. Where that
/// reaches into another micro-batch, or into the next step (StepProgram::overlap), the tensor lives
/// for the whole step.
std::vector<Lifetime> activation_lifetimes(const TrainingGraph& training,
                                           const StepProgram& program);

}  // namespace pluto
