#pragma once
// How much of each tensor one rank holds.

#include <vector>

#include "plan/step_program.h"

namespace pluto {

/// By TensorId, at the program's micro-batch. Whole tensors, but for
///   shard        optimizer state (from 1), gradients (from 2), parameters (3): of each kind a rank
///                holds the largest shard of the bucket's slice, ceil(n / data) elements, which
///                stands at the bucket's first tensor; the others have none;
///   server nodes of their own: optimizer state of what they update is theirs alone.
/// Formula, Psi parameters of b bytes, K bytes of state each, N data ranks: (2 b + K) Psi; shard 1:
/// (2 b + K/N) Psi; 2: (b + (b + K)/N) Psi; 3: (2 b + K)/N Psi. Source: Rajbhandari et al. 2020,
/// figure 1 (b = 2, K = 12). Ignores: what rounding adds per bucket. Test: plan/held_bytes_test.cc.
std::vector<Bytes> held_bytes(const TrainingGraph& training, const StepProgram& program);

}  // namespace pluto
