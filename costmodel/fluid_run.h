#pragma once
// Tasks in progress: lanes that are taken, and how far each task is at any time.

#include <cstdint>
#include <span>
#include <vector>

#include "costmodel/schedule.h"

namespace pluto {

/// What one task at a time takes: a resource, or one direction of the network. A bit each.
constexpr std::size_t kLaneCount = kResourceCount + 1;
using Lanes = std::uint8_t;
static_assert(kLaneCount <= 8);
Lanes lanes_of(const TimedTask& task);

/// Progress of tasks that somebody else starts. The list may stand for several steps of the same
/// tasks: task i is tasks[i % size].
class FluidRun {
 public:
  FluidRun(std::span<const TimedTask> tasks, std::size_t count);

  const TimedTask& task(std::size_t index) const {
    return tasks_[index < tasks_.size() ? index : index % tasks_.size()];
  }
  /// Whether no running task takes a lane of this one.
  bool free_for(std::size_t index) const { return (lanes_of(task(index)) & taken_) == 0; }
  /// Precondition: free_for(index). A task without duration ends at once.
  void begin(std::size_t index);
  bool ended(std::size_t index) const { return ended_[index] != 0; }
  std::size_t left() const { return left_; }
  bool running() const { return !running_.empty(); }
  /// To the next end of a task. Precondition: running().
  void advance();
  /// Tasks that ended since the last call.
  std::vector<std::size_t> take_ended();

  double now() const { return now_; }
  /// What compute lost so far to tasks beside it.
  double slowed() const { return slowed_; }
  std::vector<Seconds> start, end;  ///< by index

 private:
  struct Running {
    std::size_t index = 0;
    const TimedTask* task = nullptr;
    double remaining = 0;  ///< seconds alone
    double rate = 1;
  };
  void finish(std::size_t index);
  /// Of each running task, by what runs beside it: schedule() has the formula.
  void set_rates();

  std::span<const TimedTask> tasks_;
  std::vector<char> ended_;
  std::vector<Running> running_;
  std::vector<std::size_t> just_ended_;
  Lanes taken_ = 0;
  std::size_t left_;
  double now_ = 0, slowed_ = 0;
};

}  // namespace pluto
