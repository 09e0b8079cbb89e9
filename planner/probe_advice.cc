#include "planner/probe_advice.h"

#include <fmt/format.h>

#include "planner/probe_value.h"

namespace pluto {

namespace {

std::string place(const Plan& plan) {
  return fmt::format("{} x {}, global batch {}", plan.cluster.instance.name, plan.cluster.nodes,
                     plan.global_batch);
}

}  // namespace

std::optional<ProbeAdvice> probe_advice(const TrainingJob& job, const SearchResult& result) {
  if (result.ranked.empty() || !result.ranked.front().meets_limits) return std::nullopt;
  const RankedPlan& first = result.ranked.front();
  std::optional<ProbeAdvice> best;
  for (std::size_t i = 1; i < result.ranked.size(); ++i) {
    const RankedPlan& second = result.ranked[i];
    if (!second.meets_limits) continue;
    const Probe probe = probe_of(job, first, second, kProbeDuration);
    const auto profit = [](Dollars value, Dollars price) { return value - price; };
    if (best && profit(probe.value, probe.price) <= profit(best->value, best->price)) continue;
    best = ProbeAdvice{probe.value > probe.price, probe.instance, probe.value, probe.price,
                       place(second.plan)};
  }
  return best;
}

std::string probe_sentence(const ProbeAdvice& advice) {
  const std::string sums =
      fmt::format("{} of {} cost {}, deciding afterwards against {} is expected to save {}",
                  to_text(kProbeDuration), advice.instance, to_text(advice.price), advice.against,
                  to_text(advice.value));
  return fmt::format("a probe is {}worth it: {}", advice.worth ? "" : "not ", sums);
}

}  // namespace pluto
