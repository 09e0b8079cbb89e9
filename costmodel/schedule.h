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
  double beside_compute = 1;  ///< of a network task: its rate while a compute task runs, 0..1
  double beside_other = 1;    ///< of a network task: its rate while the other direction is busy
};

struct Schedule {
  std::vector<Seconds> start, end;  ///< by task index
  Seconds makespan;                 ///< last end; 0 without tasks
  Seconds slowed;                   ///< of compute, by tasks beside it
};

/// Runs the tasks: each resource in list order, one at a time (the network one in each direction; a
/// task of both waits for both), a task as soon as its predecessors have ended. Fluid model of
/// streams that share a device.
/// Formula: piecewise linear progress between the ends of tasks. Compute progresses at 1 - u, u the
///   largest cpu_share of the network tasks that run (at most kLargestShare, so that compute always
///   ends); a network task at beside_compute while compute runs, times beside_other while the other
///   direction does; everything else at 1. Rates that add up to less than 1 are raised until they
///   do: nobody loses by running at once.
/// Source: fluid resource sharing as in Casanova, Giersch, Legrand, Quinson, Suter 2014 (SimGrid);
///   one factor per stream as in Zhu et al. 2025 (Mist).
/// Valid for: resources that run their queue in order. Ignores: reading and servers beside others.
/// Laws: critical_path <= makespan <= sum of all durations, for any rates: something runs, and what
///   runs progresses by at least 1 in all. Test: costmodel/schedule_test.cc.
/// O(tasks + predecessors).
Schedule schedule(std::span<const TimedTask> tasks);
inline constexpr double kLargestShare = 0.95;

/// Longest chain of durations over predecessors and queue order, shares ignored: no schedule ends
/// sooner.
Seconds critical_path(std::span<const TimedTask> tasks);

}  // namespace pluto
