#include "cli/nearest_limits.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "planner/ranking.h"

namespace pluto {

namespace {

constexpr double kRoundedUp = 1.005;  // so that the command typed is feasible

struct Limits {
  std::string budget, deadline, confidence;  ///< as flags take them; empty: as typed
};

std::string command(const SearchOptions& typed, const Limits& limits) {
  std::string text = "pluto-plan search " + typed.job;
  const auto flag = [&text](const char* name, const std::string& value) {
    if (!value.empty()) text += fmt::format(" {} {}", name, value);
  };
  flag("--gpus", typed.gpus);
  flag("--budget", limits.budget.empty() ? typed.budget : limits.budget);
  flag("--deadline", limits.deadline.empty() ? typed.deadline : limits.deadline);
  const std::string confidence = typed.confidence ? fmt::format("{}", *typed.confidence) : "";
  flag("--confidence", limits.confidence.empty() ? confidence : limits.confidence);
  flag("--minimize", typed.minimize);
  flag("--spot", typed.spot);
  flag("--target", typed.target);
  flag("--prices", typed.prices);
  if (!typed.prices.empty()) flag("--provider", typed.provider);
  for (const std::string& setting : typed.settings) flag("--fix", setting);
  return text;
}

Seconds time_at(const TrainingJob& job, const Prediction& prediction) {
  return prediction.time_to_target.p50 * quantile_factor(job, prediction);
}
Dollars price_at(const TrainingJob& job, const Prediction& prediction) {
  return prediction.price.p50 * price_quantile_factor(job, prediction);
}

std::string budget_for(const TrainingJob& job, const RankedPlan& plan) {
  const double dollars = price_at(job, plan.prediction).value() * kRoundedUp;
  return dollars < 1 ? fmt::format("{:.3g}", dollars * kRoundedUp)
                     : fmt::format("{:.2f}", dollars + 0.005);
}
std::string deadline_for(const TrainingJob& job, const RankedPlan& plan) {
  return fmt::format("{:.0f}s", std::ceil(time_at(job, plan.prediction).value() * kRoundedUp) + 1);
}

}  // namespace

std::vector<std::vector<std::string>> nearest_rows(const TrainingJob& job,
                                                   const SearchResult& result,
                                                   const SearchOptions& typed) {
  const std::string quantile = fmt::format("p{:.3g}", 100 * job.confidence);
  std::vector<std::vector<std::string>> rows = {
      {"nearest", "time " + quantile, "price " + quantile, "P", "type this"}};
  const auto add = [&](const char* what, const RankedPlan& plan, const Limits& limits) {
    const auto& p = plan.prediction;
    const auto probability = p.p_both ? p.p_both : p.p_deadline ? p.p_deadline : p.p_budget;
    rows.push_back({what, to_text(time_at(job, p)), to_text(price_at(job, p)),
                    probability ? fmt::format("{:.2f}", *probability) : "-",
                    command(typed, limits)});
  };
  if (const auto& plan = result.nearest_by_budget) {
    add("by budget", *plan, {budget_for(job, *plan), "", ""});
  }
  if (const auto& plan = result.nearest_by_deadline) {
    add("by deadline", *plan, {"", deadline_for(job, *plan), ""});
  }
  if (const auto& plan = result.nearest_by_confidence) {
    const double probability = probability_of(plan->prediction);
    if (probability >= 0.5 && probability < job.confidence) {
      add("by confidence", *plan, {"", "", fmt::format("{:.2f}", probability - 0.005)});
    }
  }
  const bool neither = !result.nearest_by_budget && !result.nearest_by_deadline;
  if (neither && job.budget && job.deadline && !result.ranked.empty() &&
      fits_memory(result.ranked.front().plan, result.ranked.front().prediction)) {
    const RankedPlan& plan = result.ranked.front();
    add("by both", plan, {budget_for(job, plan), deadline_for(job, plan), ""});
  }
  return rows;
}

}  // namespace pluto
