#include "costmodel/fluid_run.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace pluto {

Lanes lanes_of(const TimedTask& task) {
  Lanes lanes{};
  lanes[static_cast<std::size_t>(task.resource)] = true;
  if (task.resource == Resource::kNetwork) {
    lanes[static_cast<std::size_t>(Resource::kNetwork)] = task.direction != Direction::kDown;
    lanes[kResourceCount] = task.direction != Direction::kUp;
  }
  return lanes;
}

FluidRun::FluidRun(std::span<const TimedTask> tasks, std::size_t count)
    : start(count), end(count), tasks_(tasks), ended_(count, 0), left_(count) {}

bool FluidRun::free_for(std::size_t index) const {
  const Lanes lanes = lanes_of(task(index));
  for (std::size_t lane = 0; lane < kLaneCount; ++lane) {
    if (lanes[lane] && taken_[lane]) return false;
  }
  return true;
}

void FluidRun::begin(std::size_t index) {
  start[index] = Seconds(now_);
  const double duration = task(index).duration.value();
  if (duration <= 0) return finish(index);
  const Lanes lanes = lanes_of(task(index));
  for (std::size_t lane = 0; lane < kLaneCount; ++lane) taken_[lane] |= lanes[lane];
  running_.push_back({index, duration});
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
    const TimedTask& what = task(one.index);
    computes = computes || what.resource == Resource::kCompute;
    if (what.resource != Resource::kNetwork) continue;
    ++networks;
    share = std::max(share, what.cpu_share);
  }
  double sum = 0;
  for (Running& one : running_) {
    const TimedTask& what = task(one.index);
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
  std::vector<std::size_t> done;
  for (Running& one : running_) {
    if (one.remaining / one.rate <= step) done.push_back(one.index);
    one.remaining -= step * one.rate;
    if (task(one.index).resource == Resource::kCompute) slowed_ += step * (1 - one.rate);
  }
  for (const std::size_t index : done) {
    std::erase_if(running_, [&](const Running& one) { return one.index == index; });
    const Lanes lanes = lanes_of(task(index));
    for (std::size_t lane = 0; lane < kLaneCount; ++lane) {
      if (lanes[lane]) taken_[lane] = false;
    }
    finish(index);
  }
}

std::vector<std::size_t> FluidRun::take_ended() { return std::exchange(just_ended_, {}); }

}  // namespace pluto
