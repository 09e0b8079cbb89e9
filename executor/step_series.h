#pragma once
// What a typical step of a run took, in memory that does not grow with it.

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
  /// The median step, and each term's mean over the middle half of the steps by time, so that the
  /// terms sum to a typical step (medians of terms that trade places do not). The first `left_out`
  /// steps are not counted unless nothing would remain. Sets step, compute, update, exposed_comm
  /// and exposed_input. Without steps: all zero.
  StepMeasurement typical(std::int64_t left_out) const;

 private:
  std::size_t capacity_;
  std::int64_t seen_ = 0, stride_ = 1;
  std::vector<StepTimes> kept_;  ///< kept_[i] is step i * stride_
};

/// Steps that count as warm-up in a series of `steps`: 2 or 10 %, whichever is more, but never all.
std::int64_t warm_up_steps(std::int64_t steps);

}  // namespace pluto
