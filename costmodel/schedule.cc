#include "costmodel/schedule.h"

#include <algorithm>
#include <array>
#include <limits>

#include "base/check.h"

namespace pluto {

namespace {

constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();

/// What each resource is at: its queue in list order and the task it runs.
struct Lane {
  std::vector<std::size_t> queue;
  std::size_t next = 0;         // position in queue
  std::size_t running = kNone;  // task index
  double remaining = 0;
};

}  // namespace

Schedule schedule(std::span<const TimedTask> tasks) {
  Schedule result;
  result.start.resize(tasks.size());
  result.end.resize(tasks.size());
  std::vector<char> ended(tasks.size(), 0);
  std::array<Lane, kResourceCount> lanes;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    lanes[static_cast<std::size_t>(tasks[i].resource)].queue.push_back(i);
  }

  double now = 0;
  std::size_t left = tasks.size();
  const auto ready = [&](std::size_t task) {
    return std::ranges::all_of(tasks[task].predecessors,
                               [&](TaskId id) { return ended[id.index()] != 0; });
  };
  const auto finish = [&](std::size_t task) {
    result.end[task] = Seconds(now);
    ended[task] = 1;
    --left;
  };
  const auto start_all = [&] {
    for (bool again = true; again;) {
      again = false;
      for (auto& lane : lanes) {
        while (lane.running == kNone && lane.next < lane.queue.size() &&
               ready(lane.queue[lane.next])) {
          const auto task = lane.queue[lane.next++];
          result.start[task] = Seconds(now);
          again = true;
          if (tasks[task].duration.value() > 0) {
            lane.running = task;
            lane.remaining = tasks[task].duration.value();
          } else {
            finish(task);
          }
        }
      }
    }
  };

  auto& compute = lanes[static_cast<std::size_t>(Resource::kCompute)];
  const auto& network = lanes[static_cast<std::size_t>(Resource::kNetwork)];
  start_all();
  while (left > 0) {
    const double share = network.running == kNone ? 0 : tasks[network.running].cpu_share;
    const double rate = 1 - std::clamp(share, 0.0, kLargestShare);
    const auto rate_of = [&](const Lane& lane) { return &lane == &compute ? rate : 1.0; };
    double step = std::numeric_limits<double>::infinity();
    for (const auto& lane : lanes) {
      if (lane.running != kNone) step = std::min(step, lane.remaining / rate_of(lane));
    }
    PLUTO_CHECK(step < std::numeric_limits<double>::infinity(), "a predecessor is not earlier");
    now += step;
    for (auto& lane : lanes) {
      if (lane.running == kNone) continue;
      const bool done = lane.remaining / rate_of(lane) <= step;
      lane.remaining -= step * rate_of(lane);
      if (done) {
        finish(lane.running);
        lane.running = kNone;
      }
    }
    start_all();
  }
  result.makespan = Seconds(now);
  return result;
}

Seconds critical_path(std::span<const TimedTask> tasks) {
  std::vector<Seconds> end(tasks.size());
  std::array<Seconds, kResourceCount> lane_end{};
  Seconds longest;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    auto& lane = lane_end[static_cast<std::size_t>(tasks[i].resource)];
    Seconds start = lane;
    for (const auto id : tasks[i].predecessors) start = std::max(start, end[id.index()]);
    end[i] = start + tasks[i].duration;
    lane = end[i];
    longest = std::max(longest, end[i]);
  }
  return longest;
}

}  // namespace pluto
