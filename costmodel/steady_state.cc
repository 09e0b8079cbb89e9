#include "costmodel/steady_state.h"

#include <algorithm>
#include <compare>
#include <set>

#include "base/check.h"
#include "costmodel/fluid_run.h"

namespace pluto {

namespace {

constexpr std::size_t kSteps = 6;  // a measure over the last three
constexpr std::size_t kSettled = 3;

/// When a task is needed: in which step, before which of its tasks.
struct Need {
  std::size_t step = 0, position = 0;
  bool own = false;  ///< the task is what stands there; what it waits for goes first
  std::size_t index = 0;
  auto operator<=>(const Need&) const = default;
};

class Unrolled {
 public:
  Unrolled(std::span<const TimedTask> tasks, const StepOverlap& overlap)
      : tasks_(tasks),
        overlap_(overlap),
        run_(tasks, kSteps * tasks.size()),
        waiting_(kSteps * tasks.size()),
        next_(tasks.size()),
        next_across_(tasks.size()) {
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      for (const TaskId id : tasks[i].predecessors) next_[id.index()].push_back(i);
      for (const TaskId id : overlap.across[i]) next_across_[id.index()].push_back(i);
      if (in_order(i)) stream_.push_back(i);
      for (std::size_t step = 0; step < kSteps; ++step) {
        waiting_[step * tasks.size() + i] =
            tasks[i].predecessors.size() + (step > 0 ? overlap.across[i].size() : 0);
      }
    }
    PLUTO_CHECK(!stream_.empty(), "a step computes something");
  }

  SteadyState run() {
    for (std::size_t i = 0; i < waiting_.size(); ++i) offer(i);
    begin_all();
    while (run_.left() > 0) {
      PLUTO_CHECK(run_.running(), "tasks wait for each other");
      run_.advance();
      begin_all();
    }
    SteadyState result;
    const std::size_t size = tasks_.size();
    const auto start_of = [&](std::size_t step) {
      return run_.start[step * size + stream_.front()];
    };
    result.step = (start_of(kSteps - 1) - start_of(kSteps - 1 - kSettled)) / double(kSettled);
    result.slowed = Seconds(run_.slowed() / double(kSteps));
    const std::size_t shown = kSteps - 2;
    for (std::size_t i = 0; i < size; ++i) {
      result.start.push_back(std::max(Seconds(0), run_.start[shown * size + i] - start_of(shown)));
      result.end.push_back(std::max(Seconds(0), run_.end[shown * size + i] - start_of(shown)));
    }
    return result;
  }

 private:
  bool in_order(std::size_t task) const {
    return tasks_[task].resource == Resource::kCompute && !overlap_.needed_by[task];
  }

  /// Makes the task a candidate when nothing holds it back.
  void offer(std::size_t index) {
    if (waiting_[index] > 0) return;
    const std::size_t step = index / tasks_.size(), task = index % tasks_.size();
    if (in_order(task)) {
      const std::size_t turn = turn_ % stream_.size(), turn_step = turn_ / stream_.size();
      if (turn_step != step || stream_[turn] != task) return;
    }
    const auto& need = overlap_.needed_by[task];
    ready_.insert(need ? Need{step + 1, need->index(), false, index}
                       : Need{step, task, true, index});
  }

  void begin_all() {
    for (bool again = true; again;) {
      again = false;
      for (auto one = ready_.begin(); one != ready_.end();) {
        if (!run_.free_for(one->index)) {
          ++one;
          continue;
        }
        const std::size_t index = one->index;
        one = ready_.erase(one);
        if (in_order(index % tasks_.size())) {
          ++turn_;
          const std::size_t step = turn_ / stream_.size();
          if (step < kSteps) offer(step * tasks_.size() + stream_[turn_ % stream_.size()]);
        }
        run_.begin(index);
      }
      for (const std::size_t index : run_.take_ended()) {
        again = true;
        const std::size_t step = index / tasks_.size(), task = index % tasks_.size();
        const auto release = [&](std::size_t waiter) {
          if (--waiting_[waiter] == 0) offer(waiter);
        };
        for (const std::size_t waiter : next_[task]) release(step * tasks_.size() + waiter);
        if (step + 1 == kSteps) continue;
        for (const std::size_t waiter : next_across_[task]) {
          release((step + 1) * tasks_.size() + waiter);
        }
      }
    }
  }

  std::span<const TimedTask> tasks_;
  const StepOverlap& overlap_;
  FluidRun run_;
  std::vector<std::size_t> waiting_;                          // by index: predecessors not ended
  std::vector<std::vector<std::size_t>> next_, next_across_;  // by task
  std::vector<std::size_t> stream_;                           // compute tasks that keep their order
  std::size_t turn_ = 0;                                      // of them, over all steps
  std::set<Need> ready_;
};

}  // namespace

SteadyState steady_state(std::span<const TimedTask> tasks, const StepOverlap& overlap) {
  return Unrolled(tasks, overlap).run();
}

}  // namespace pluto
