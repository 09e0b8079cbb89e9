#include "costmodel/step_errors.h"

#include <cmath>

#include "base/statistics.h"

namespace pluto {

StepErrors summarize_errors(std::span<const ScoredStep> steps) {
  StepErrors errors;
  if (steps.empty()) return errors;
  const double p90 = normal_quantile(0.9);
  std::vector<double> sizes;
  double logs = 0, inside = 0;
  for (const ScoredStep& step : steps) {
    const double ratio = step.predicted / step.measured;
    errors.relative.push_back(ratio - 1);
    sizes.push_back(std::abs(ratio - 1));
    logs += std::log(ratio);
    if (std::abs(std::log(ratio)) <= p90 * step.spread) ++inside;
  }
  const auto count = static_cast<double>(sizes.size());
  errors.median = quantile(sizes, 0.5);
  errors.p90 = quantile(sizes, 0.9);
  errors.bias = std::expm1(logs / count);
  errors.coverage = inside / count;
  return errors;
}

}  // namespace pluto
