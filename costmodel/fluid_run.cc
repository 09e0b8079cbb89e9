#include "costmodel/fluid_run.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace pluto {

Lanes lanes_of(const TimedTask& task) {
  const auto lane = [](std::size_t index) { return static_cast<Lanes>(1u << index); };
  if (task.resource != Resource::kNetwork) return lane(static_cast<std::size_t>(task.resource));
  Lanes lanes = 0;
  if (task.direction != Direction::kDown) lanes |= lane(static_cast<std::size_t>(task.resource));
  if (task.direction != Direction::kUp) lanes |= lane(kResourceCount);
  return lanes;
}

FluidRun::FluidRun(std::span<const TimedTask> tasks, std::size_t count)
    : start(count), end(count), tasks_(tasks), ended_(count, 0), left_(count) {}

void FluidRun::begin(std::size_t index) {
  start[index] = Seconds(now_);
  const TimedTask& what = task(index);
  const double duration = what.duration.value();
  if (duration <= 0) return finish(index);
  taken_ |= lanes_of(what);
  running_.push_back({index, &what, duration});
}

void FluidRun::finish(std::size_t index) {
  end[index] = Seconds(now_);
  ended_[index] = 1;
  just_ended_.push_back(index);
  --left_;
}

void FluidRun::set_rates() {
  int networks = 0;
  bool computes = false;
  double share = 0;
  for (const Running& one : running_) {
    const TimedTask& what = *one.task;
    computes = computes || what.resource == Resource::kCompute;
    if (what.resource != Resource::kNetwork) continue;
    ++networks;
    share = std::max(share, what.cpu_share);
  }
  double sum = 0;
  for (Running& one : running_) {
    const TimedTask& what = *one.task;
    one.rate = 1;
    if (what.resource == Resource::kCompute) one.rate = 1 - std::clamp(share, 0.0, kLargestShare);
    if (what.resource == Resource::kNetwork) {
      one.rate = (computes ? what.beside_compute : 1) * (networks > 1 ? what.beside_other : 1);
    }
    sum += one.rate;
  }
  if (sum >= 1) return;
  for (Running& one : running_) one.rate /= sum;
}

void FluidRun::advance() {
  set_rates();
  double step = std::numeric_limits<double>::infinity();
  for (const Running& one : running_) step = std::min(step, one.remaining / one.rate);
  now_ += step;
  auto kept = running_.begin();
  for (Running& one : running_) {
    if (one.task->resource == Resource::kCompute) slowed_ += step * (1 - one.rate);
    if (one.remaining / one.rate <= step) {
      taken_ &= static_cast<Lanes>(~lanes_of(*one.task));
      finish(one.index);
      continue;
    }
    one.remaining -= step * one.rate;
    *kept++ = one;
  }
  running_.erase(kept, running_.end());
}

std::vector<std::size_t> FluidRun::take_ended() { return std::exchange(just_ended_, {}); }

}  // namespace pluto
