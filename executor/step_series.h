#pragma once
// Medians over the steps of a run, in memory that does not grow with it.

#include <vector>

#include "executor/step_runner.h"
#include "plan/measurement.h"

namespace pluto {

/// Keeps every step up to a capacity; beyond it every second, fourth, ... one.
class StepSeries {
 public:
  explicit StepSeries(std::size_t capacity);
  void add(const StepTimes& times);  ///< allocates nothing
  void clear();
  std::int64_t steps() const { return seen_; }
  /// Medians, the first `left_out` steps not counted unless nothing would remain. Sets step,
  /// compute, update, exposed_comm and exposed_input. Without steps: all zero.
  StepMeasurement medians(std::int64_t left_out) const;

 private:
  std::size_t capacity_;
  std::int64_t seen_ = 0, stride_ = 1;
  std::vector<StepTimes> kept_;  ///< kept_[i] is step i * stride_
};

/// Steps that count as warm-up in a series of `steps`: 2 or 10 %, whichever is more, but never all.
std::int64_t warm_up_steps(std::int64_t steps);

}  // namespace pluto
