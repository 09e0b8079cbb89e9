#include "planner/explain_rate.h"

#include <fmt/format.h>

namespace pluto {

namespace {

std::string schedule_text(const Plan& plan) {
  const LearningRate& rate = plan.learning_rate;
  std::string text = to_text(rate.schedule);
  if (rate.schedule == ScheduleKind::kStep) {
    text += fmt::format(" over {} rates", rate.rates.size());
  }
  if (rate.warmup_samples == 0) return text + ", no warm-up";
  const std::int64_t steps = (rate.warmup_samples + plan.global_batch - 1) / plan.global_batch;
  return fmt::format("{} after a warm-up of {} samples ({} step{})", text, rate.warmup_samples,
                     steps, steps == 1 ? "" : "s");
}

}  // namespace

std::vector<std::string> rate_sentences(const Plan& plan) {
  std::vector<std::string> sentences;
  std::string text =
      fmt::format("{:.4g} at global batch {}", plan.learning_rate.peak, plan.global_batch);
  const auto& basis = plan.rate_basis;
  if (!basis) {
    sentences.push_back(text);
  } else if (basis->tuned_batch == plan.global_batch) {
    sentences.push_back(text + ", as the job states it");
  } else {
    sentences.push_back(fmt::format("{}, by the rule {} from {:.4g} at {}", text,
                                    to_text(basis->rule), basis->tuned_peak, basis->tuned_batch));
    if (basis->low < basis->high) {
      sentences.push_back(
          fmt::format("the best rate may lie between {:.3g} and {:.3g}", basis->low, basis->high));
    }
  }
  sentences.push_back(schedule_text(plan));
  return sentences;
}

}  // namespace pluto
