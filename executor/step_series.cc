#include "executor/step_series.h"

#include <algorithm>

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

StepMeasurement StepSeries::medians(std::int64_t left_out) const {
  StepMeasurement measured;
  if (kept_.empty()) return measured;
  std::int64_t first = (left_out + stride_ - 1) / stride_;
  first = std::min(first, std::ssize(kept_) - 1);
  std::vector<double> values;
  values.reserve(kept_.size());
  const auto summary_of = [&](double StepTimes::*field) {
    values.clear();
    for (auto i = first; i < std::ssize(kept_); ++i) {
      values.push_back(kept_[static_cast<std::size_t>(i)].*field);
    }
    return summarize(values);
  };
  const Summary step = summary_of(&StepTimes::step);
  measured.step = {Seconds(step.median), step.relative_spread,
                   static_cast<std::int64_t>(step.count)};
  measured.compute = Seconds(summary_of(&StepTimes::compute).median);
  measured.update = Seconds(summary_of(&StepTimes::update).median);
  measured.exposed_comm = Seconds(summary_of(&StepTimes::exposed_comm).median);
  measured.exposed_input = Seconds(summary_of(&StepTimes::exposed_input).median);
  return measured;
}

std::int64_t warm_up_steps(std::int64_t steps) {
  constexpr std::int64_t kLeast = 2;
  return std::min(std::max(kLeast, steps / 10), std::max<std::int64_t>(0, steps - 1));
}

}  // namespace pluto
