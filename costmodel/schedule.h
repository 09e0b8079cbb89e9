#pragma once
// The pure core of the simulator: tasks with durations in, start and end times out.

#include <span>
#include <vector>

#include "base/units.h"
#include "plan/step_program.h"

namespace pluto {

struct TimedTask {
  Resource resource = Resource::kCompute;
  Seconds duration;  ///< when nothing else takes from its resource; >= 0
  double cpu_share =
      0;  ///< of a network task: what it takes from the compute resource while it runs, 0..1
  std::span<const TaskId> predecessors;    ///< all earlier in the list
  Direction direction = Direction::kBoth;  ///< of a network task
};

struct Schedule {
  std::vector<Seconds> start, end;  ///< by task index
  Seconds makespan;                 ///< last end; 0 without tasks
};

/// Runs the tasks: each resource in list order, one at a time (the network one in each direction; a
/// task of both waits for both), a task as soon as its predecessors have ended. Fluid model of
/// shared processors: while a network task with share u runs, compute progresses at rate 1 - u (u
/// is capped at kLargestShare, so that compute always ends). Formula: piecewise linear progress
/// between the ends of tasks. Source: fluid resource sharing as in Casanova, Giersch,
///   Legrand, Quinson, Suter 2014 (SimGrid), reduced to one contended resource.
/// Valid for: resources that run their queue in order. Ignores: what compute takes from the
/// network. Laws: critical_path <= makespan <= sum of all durations, for any shares: whenever the
/// network runs it progresses at
///   rate 1, and when it does not, something else does. Test: costmodel/schedule_test.cc. O(tasks +
///   predecessors).
Schedule schedule(std::span<const TimedTask> tasks);
inline constexpr double kLargestShare = 0.95;

/// Longest chain of durations over predecessors and queue order, shares ignored: no schedule ends
/// sooner.
Seconds critical_path(std::span<const TimedTask> tasks);

}  // namespace pluto
