#include "planner/weakness.h"

#include <fmt/format.h>

#include <algorithm>

namespace pluto {

std::string weakest_assumption(const Plan& plan, const Prediction& prediction) {
  const Convergence& convergence = plan.convergence;
  const auto doubt = [&](const Term& term) {
    return term.time / prediction.step_time.p50 * term.relative_spread;
  };
  const auto weakest = std::ranges::max_element(prediction.terms, {}, doubt);
  const double most = weakest == prediction.terms.end() ? 0 : doubt(*weakest);
  if (convergence.spread > most) {
    return fmt::format("{} steps to the target, {} by {} (spread {:.0f} %)", plan.steps,
                       to_text(convergence.evidence), convergence.source, 100 * convergence.spread);
  }
  if (most <= 0) return {};
  return fmt::format("{}, {} (spread {:.0f} %), {:.0f} % of the step", weakest->name,
                     to_text(weakest->evidence), 100 * weakest->relative_spread,
                     100 * (weakest->time / prediction.step_time.p50));
}

}  // namespace pluto
