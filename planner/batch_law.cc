#include "planner/batch_law.h"

#include <algorithm>
#include <cmath>

namespace pluto {

double sample_ratio(std::int64_t batch, std::int64_t reference,
                    std::optional<double> critical_batch) {
  if (!critical_batch) return 1;
  return (1 + static_cast<double>(batch) / *critical_batch) /
         (1 + static_cast<double>(reference) / *critical_batch);
}

LearningRate scale_learning_rate(const LearningRate& schedule, const OptimizerAttrs& optimizer,
                                 std::int64_t batch, std::int64_t reference,
                                 std::optional<double> critical_batch, double stretch) {
  const auto b = static_cast<double>(batch), b0 = static_cast<double>(reference);
  double factor = 1;
  if (std::holds_alternative<SgdAttrs>(optimizer)) {
    factor = critical_batch ? (1 + *critical_batch / b0) / (1 + *critical_batch / b) : b / b0;
  } else {
    // Past the critical batch the rate stands still, wherever it was tuned.
    const double most = critical_batch ? std::max(*critical_batch, b0) : b;
    factor = std::sqrt(std::min(b, most) / b0);
  }
  LearningRate scaled = schedule;
  scaled.peak *= factor;
  for (auto& rate : scaled.rates) rate *= factor;
  const auto stretched = [&](std::int64_t samples) {
    return static_cast<std::int64_t>(std::llround(static_cast<double>(samples) * stretch));
  };
  scaled.warmup_samples = stretched(scaled.warmup_samples);
  for (auto& boundary : scaled.boundaries) boundary = stretched(boundary);
  return scaled;
}

std::int64_t steps_for(double samples, std::int64_t global_batch) {
  // A hair below a whole number of steps is rounding, not another step.
  const double steps = samples / static_cast<double>(global_batch);
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(steps - 1e-9 * steps)));
}

}  // namespace pluto
