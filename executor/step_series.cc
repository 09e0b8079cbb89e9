#include "executor/step_series.h"

#include <algorithm>
#include <span>

#include "base/statistics.h"

namespace pluto {

StepSeries::StepSeries(std::size_t capacity) : capacity_(capacity + capacity % 2) {
  kept_.reserve(capacity_);
}

void StepSeries::add(const StepTimes& times) {
  if (seen_++ % stride_ != 0) return;
  if (kept_.size() == capacity_) {
    for (std::size_t i = 0; 2 * i < kept_.size(); ++i) kept_[i] = kept_[2 * i];
    kept_.resize(capacity_ / 2);
    stride_ *= 2;
  }
  // capacity is even, so this step is a multiple of the doubled stride too.
  kept_.push_back(times);
}

void StepSeries::clear() {
  kept_.clear();
  seen_ = 0;
  stride_ = 1;
}

StepMeasurement StepSeries::typical(std::int64_t left_out) const {
  StepMeasurement measured;
  if (kept_.empty()) return measured;
  std::int64_t first = (left_out + stride_ - 1) / stride_;
  first = std::min(first, std::ssize(kept_) - 1);
  std::vector<StepTimes> counted(kept_.begin() + first, kept_.end());
  std::ranges::sort(counted, {}, &StepTimes::step);
  std::vector<double> steps;
  steps.reserve(counted.size());
  for (const StepTimes& times : counted) steps.push_back(times.step);
  const Summary step = summarize(steps);
  measured.step = {Seconds(step.median), step.relative_spread,
                   static_cast<std::int64_t>(step.count)};

  const std::size_t cut = counted.size() / 4;
  const auto middle = std::span(counted).subspan(cut, counted.size() - 2 * cut);
  const auto mean_of = [&](double StepTimes::*term) {
    double sum = 0;
    for (const StepTimes& times : middle) sum += times.*term;
    return Seconds(sum / static_cast<double>(middle.size()));
  };
  measured.compute = mean_of(&StepTimes::compute);
  measured.update = mean_of(&StepTimes::update);
  measured.exposed_comm = mean_of(&StepTimes::exposed_comm);
  measured.exposed_input = mean_of(&StepTimes::exposed_input);
  return measured;
}

std::int64_t warm_up_steps(std::int64_t steps) {
  constexpr std::int64_t kLeast = 2;
  return std::min(std::max(kLeast, steps / 10), std::max<std::int64_t>(0, steps - 1));
}

}  // namespace pluto
