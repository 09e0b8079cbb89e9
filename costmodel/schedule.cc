#include "costmodel/schedule.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "costmodel/fluid_run.h"

namespace pluto {

namespace {

/// A queue in list order.
struct Queue {
  std::vector<std::size_t> tasks;
  std::size_t next = 0;
  bool begins_with(std::size_t task) const { return next < tasks.size() && tasks[next] == task; }
};

bool has(Lanes lanes, std::size_t lane) { return (lanes >> lane & 1) != 0; }

}  // namespace

Schedule schedule(std::span<const TimedTask> tasks) {
  std::array<Queue, kLaneCount> queues;
  std::vector<Lanes> lanes_by_task(tasks.size());
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    const Lanes lanes = lanes_by_task[i] = lanes_of(tasks[i]);
    for (std::size_t lane = 0; lane < kLaneCount; ++lane) {
      if (has(lanes, lane)) queues[lane].tasks.push_back(i);
    }
  }
  FluidRun run(tasks, tasks.size());
  const auto may_begin = [&](std::size_t task) {
    const Lanes lanes = lanes_by_task[task];
    for (std::size_t lane = 0; lane < kLaneCount; ++lane) {
      if (has(lanes, lane) && !queues[lane].begins_with(task)) return false;
    }
    return run.free_for(task) && std::ranges::all_of(tasks[task].predecessors, [&](TaskId id) {
             return run.ended(id.index());
           });
  };
  const auto begin_all = [&] {
    for (bool again = true; again;) {
      again = false;
      for (auto& queue : queues) {
        while (queue.next < queue.tasks.size() && may_begin(queue.tasks[queue.next])) {
          const auto task = queue.tasks[queue.next];
          const Lanes lanes = lanes_by_task[task];
          for (std::size_t lane = 0; lane < kLaneCount; ++lane) {
            if (has(lanes, lane)) ++queues[lane].next;
          }
          run.begin(task);
          again = true;
        }
      }
    }
  };
  begin_all();
  while (run.left() > 0) {
    PLUTO_CHECK(run.running(), "a predecessor is not earlier");
    run.advance();
    begin_all();
  }
  return {std::move(run.start), std::move(run.end), Seconds(run.now()), Seconds(run.slowed())};
}

Seconds critical_path(std::span<const TimedTask> tasks) {
  std::vector<Seconds> end(tasks.size());
  std::array<Seconds, kLaneCount> lane_end{};
  Seconds longest;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    const Lanes lanes = lanes_of(tasks[i]);
    Seconds start;
    for (std::size_t lane = 0; lane < kLaneCount; ++lane) {
      if (has(lanes, lane)) start = std::max(start, lane_end[lane]);
    }
    for (const auto id : tasks[i].predecessors) start = std::max(start, end[id.index()]);
    end[i] = start + tasks[i].duration;
    for (std::size_t lane = 0; lane < kLaneCount; ++lane) {
      if (has(lanes, lane)) lane_end[lane] = end[i];
    }
    longest = std::max(longest, end[i]);
  }
  return longest;
}

}  // namespace pluto
