#pragma once
// Steps that run into each other: how long one takes when many follow.

#include <span>

#include "costmodel/schedule.h"

namespace pluto {

struct SteadyState {
  Seconds step;                     ///< from the start of a step's compute to that of the next
  std::vector<Seconds> start, end;  ///< by task index, of one step, from its start
  Seconds slowed;                   ///< of a step: what compute loses to tasks beside it
};

/// Consecutive steps of the same tasks. A task may begin when its predecessors in this step and in
/// the step before (overlap.across) have ended. Tasks of this step keep their order on the compute
/// stream; of all others that are ready, on every resource, the one begins that is needed first
/// (overlap.needed_by); what runs is not interrupted, so chunks are what yields. Nothing idles
/// while something for it is ready.
///
/// Formula: (T_6 - T_3) / 3, T_k the start of the first compute task of the k-th step. Source:
///   Peng et al. 2019 (ByteScheduler), Jayarajan et al. 2019 (P3): no barrier between steps, layer
///   order as priority; list scheduling. Valid for: steps that repeat after three.
/// Ignores: credit, the messages already in flight. Laws: no shorter than the busy time of any
///   lane; without communication the sum of compute. Test: costmodel/steady_state_test.cc.
/// Precondition: some task is on the compute resource; the lists of `overlap` are as long as
///   `tasks`.
SteadyState steady_state(std::span<const TimedTask> tasks, const StepOverlap& overlap);

}  // namespace pluto
