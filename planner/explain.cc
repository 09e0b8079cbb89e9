#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "planner/explain_closed_form.h"
#include "planner/explain_market.h"
#include "planner/explain_rate.h"
#include "planner/planner.h"
#include "planner/probe_advice.h"
#include "planner/ranking.h"
#include "planner/weakness.h"

namespace pluto {

namespace {

std::string counted(std::size_t count, const char* noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

std::string place(const Plan& plan) {
  return fmt::format(
      "{} on {} of {}{}, global batch {} = {} x {}{}",
      counted(static_cast<std::size_t>(plan.layout.ranks()), "rank"),
      counted(static_cast<std::size_t>(plan.cluster.nodes), "node"), plan.cluster.instance.name,
      plan.cluster.market == Market::kSpot ? " on spot" : "", plan.global_batch, plan.layout.data,
      plan.micro_batch, plan.accumulation > 1 ? fmt::format(" x {}", plan.accumulation) : "");
}

std::string outcome(const Prediction& prediction) {
  return fmt::format("{} (p90 {}) and {} (p90 {})", to_text(prediction.time_to_target.p50),
                     to_text(prediction.time_to_target.p90), to_text(prediction.price.p50),
                     to_text(prediction.price.p90));
}

const char* superlative(Objective objective) {
  switch (objective) {
    case Objective::kCost:
      return "cheapest";
    case Objective::kTime:
      return "fastest";
    case Objective::kRisk:
      return "safest";
  }
  return "best";
}

std::string limits(const TrainingJob& job) {
  if (!job.budget && !job.deadline) return "no limits are set";
  std::string text;
  if (job.deadline) text = to_text(*job.deadline);
  if (job.budget) text += (text.empty() ? "" : " and ") + to_text(*job.budget);
  return fmt::format("limits {} at confidence {:.2f}", text, job.confidence);
}

std::string sync_sentence(const Plan& plan) {
  std::map<SyncMethod, std::size_t> parameters;
  for (const auto& bucket : plan.buckets) parameters[bucket.method] += bucket.parameters.size();
  std::string text;
  for (const auto& [method, count] : parameters) {
    text += fmt::format("{}{} by {}", text.empty() ? "" : ", ", counted(count, "parameter"),
                        to_text(method));
  }
  return fmt::format("{} in {}", text, counted(plan.buckets.size(), "bucket"));
}

/// The limit with the least room, as a sentence.
std::string binding(const TrainingJob& job, const Prediction& prediction) {
  const bool deadline = prediction.p_deadline &&
                        (!prediction.p_budget || *prediction.p_deadline <= *prediction.p_budget);
  if (!deadline && !prediction.p_budget) return {};
  const double p = deadline ? *prediction.p_deadline : *prediction.p_budget;
  return fmt::format("the {} is the tighter limit: {} is met with probability {:.2f}",
                     deadline ? "deadline" : "budget",
                     deadline ? to_text(*job.deadline) : to_text(*job.budget), p);
}

std::string against(const RankedPlan& chosen, const RankedPlan& other) {
  const auto percent = [](double ratio) {
    return fmt::format("{:.1f} % {}", 100 * std::abs(ratio - 1), ratio < 1 ? "less" : "more");
  };
  const auto& a = chosen.prediction;
  const auto& b = other.prediction;
  std::string text = fmt::format("{} time", percent(b.time_to_target.p50 / a.time_to_target.p50));
  if (a.price.p50.value() > 0)
    text += fmt::format(" and {} money", percent(b.price.p50 / a.price.p50));
  return text;
}

void explain_terms(const Prediction& prediction, std::vector<std::string>& sentences) {
  const auto largest = std::ranges::max_element(prediction.terms, {}, &Term::time);
  if (largest == prediction.terms.end() || largest->time.value() <= 0) return;
  const Seconds step = prediction.step_time.p50;
  std::string text = fmt::format("a step takes {}: {:.0f} % {}", to_text(step),
                                 100 * (largest->time / step), largest->name);
  for (const auto& term : prediction.terms) {
    if (term.name != largest->name && term.time.value() >= 0.01 * step.value()) {
      text += fmt::format(", {:.0f} % {}", 100 * (term.time / step), term.name);
    }
  }
  sentences.push_back(text);
}

/// Which limit a plan breaks; empty when it meets both.
std::string broken_limit(const TrainingJob& job, const Prediction& prediction) {
  const auto text = [&](const char* limit, const std::string& value, double probability) {
    return fmt::format("the {} {} is met with probability {:.2f} only", limit, value, probability);
  };
  if (!meets_deadline(job, prediction))
    return text("deadline", to_text(*job.deadline), *prediction.p_deadline);
  if (!meets_budget(job, prediction))
    return text("budget", to_text(*job.budget), *prediction.p_budget);
  return {};
}

/// Why a plan that is better by one measure was not chosen.
std::string reason_against(const TrainingJob& job, const RankedPlan& chosen,
                           const RankedPlan& other) {
  if (auto broken = broken_limit(job, other.prediction); !broken.empty()) return broken;
  if (job.minimize == Objective::kRisk &&
      probability_of(other.prediction) < probability_of(chosen.prediction)) {
    return fmt::format("the limits are met with probability {:.2f} instead of {:.2f}",
                       probability_of(other.prediction), probability_of(chosen.prediction));
  }
  if (score_of(job, chosen.prediction) <= score_of(job, other.prediction)) {
    return fmt::format("the {} was asked for", superlative(job.minimize));
  }
  return fmt::format("gains below {:.0f} % do not count against plain data parallelism",
                     100 * kNegligibleGain);
}

bool same_place(const Plan& a, const Plan& b) {
  return a.cluster.instance.name == b.cluster.instance.name && a.cluster.nodes == b.cluster.nodes &&
         a.layout.ranks() == b.layout.ranks() && a.global_batch == b.global_batch;
}

/// The plan of another place that is better than the chosen one by `measure`, and least so; of the
/// front, where there is one, and of the ranked ones otherwise.
template <class Measure>
const RankedPlan* next_better(const SearchResult& result, Measure measure) {
  const RankedPlan& chosen = result.ranked.front();
  const RankedPlan* next = nullptr;
  for (const RankedPlan& one : result.front.empty() ? result.ranked : result.front) {
    if (same_place(one.plan, chosen.plan)) continue;
    if (measure(one) < measure(chosen) && (!next || measure(one) > measure(*next))) next = &one;
  }
  return next;
}

/// What is known when nothing better by a measure was found.
std::string none_better(const TrainingJob& job, const SearchResult& result, bool objective,
                        const char* better) {
  if (result.termination == Termination::kLimitReached) {
    return fmt::format("nothing costed before the search was stopped {}", better);
  }
  if (!result.front.empty()) return fmt::format("nothing that fits {}", better);
  // The first is the best by the objective among those that meet the limits.
  if (objective) {
    return fmt::format("nothing that {} {}",
                       job.budget || job.deadline ? "meets the limits" : "fits", better);
  }
  return fmt::format("none of the ranked plans {}", better);
}

void explain_alternatives(const TrainingJob& job, const SearchResult& result,
                          std::vector<std::string>& sentences) {
  const RankedPlan& chosen = result.ranked.front();
  const auto price = [](const RankedPlan& one) { return one.prediction.price.p50; };
  const auto time = [](const RankedPlan& one) { return one.prediction.time_to_target.p50; };
  const RankedPlan* cheaper = next_better(result, price);
  sentences.push_back(
      "why not cheaper: " +
      (cheaper ? fmt::format("{} costs {} instead of {} but takes {} instead of {}; {}",
                             place(cheaper->plan), to_text(price(*cheaper)), to_text(price(chosen)),
                             to_text(time(*cheaper)), to_text(time(chosen)),
                             reason_against(job, chosen, *cheaper))
               : none_better(job, result, job.minimize == Objective::kCost, "costs less")));
  const RankedPlan* faster = next_better(result, time);
  sentences.push_back(
      "why not faster: " +
      (faster ? fmt::format("{} takes {} instead of {} but costs {} instead of {}; {}",
                            place(faster->plan), to_text(time(*faster)), to_text(time(chosen)),
                            to_text(price(*faster)), to_text(price(chosen)),
                            reason_against(job, chosen, *faster))
              : none_better(job, result, job.minimize == Objective::kTime, "is faster")));
}

void explain_rejections(const Rejections& rejections, std::vector<std::string>& sentences) {
  std::string text;
  const auto add = [&](std::int64_t count, const char* reason) {
    if (count > 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, reason);
  };
  add(rejections.memory, "for memory");
  add(rejections.deadline, "for the deadline");
  add(rejections.budget, "for the budget");
  add(rejections.divisibility, "because the batch cannot be shared evenly");
  add(rejections.market, "because they are not known to be offered on spot");
  if (!text.empty()) sentences.push_back("turned down: " + text);
}

void explain_misses(const TrainingJob& job, const SearchResult& result,
                    std::vector<std::string>& sentences) {
  const auto quantile = [&](const auto& median, const Prediction& prediction) {
    return median * quantile_factor(job, prediction);
  };
  if (const auto& plan = result.nearest_by_budget) {
    sentences.push_back(fmt::format("the deadline can be met for {}: {}",
                                    to_text(quantile(plan->prediction.price.p50, plan->prediction)),
                                    place(plan->plan)));
  }
  if (const auto& plan = result.nearest_by_deadline) {
    sentences.push_back(
        fmt::format("the budget is enough for {}: {}",
                    to_text(quantile(plan->prediction.time_to_target.p50, plan->prediction)),
                    place(plan->plan)));
  }
  if (const auto& plan = result.nearest_by_confidence;
      plan && (job.deadline || job.budget) && probability_of(plan->prediction) >= 0.005) {
    sentences.push_back(fmt::format("the limits can be met with probability {:.2f}: {}",
                                    probability_of(plan->prediction), place(plan->plan)));
  }
}

}  // namespace

std::vector<std::string> explain(const TrainingJob& job, const SearchResult& result) {
  std::vector<std::string> sentences;
  if (result.ranked.empty()) {
    sentences.push_back(result.termination == Termination::kLimitReached
                            ? "the search ended before it had costed a plan"
                            : "no configuration of this job is lawful");
    explain_rejections(result.rejections, sentences);
    return sentences;
  }
  const auto& chosen = result.ranked.front();
  const auto& prediction = chosen.prediction;
  if (chosen.meets_limits) {
    sentences.push_back(fmt::format(
        "why this one: {} is the {} of {} ({}): {}", place(chosen.plan), superlative(job.minimize),
        result.ranked.size() == 1 ? std::string("1 plan")
                                  : counted(result.ranked.size(), "ranked plan"),
        limits(job), outcome(prediction)));
    if (const auto text = binding(job, prediction); !text.empty()) sentences.push_back(text);
    explain_alternatives(job, result, sentences);
  } else if (!fits_memory(chosen.plan, prediction)) {
    sentences.push_back(
        fmt::format("no plan fits: {} still needs {} on a device of {}", place(chosen.plan),
                    to_text(prediction.memory.total() + prediction.process_overhead),
                    to_text(chosen.plan.cluster.instance.node.device.memory)));
    sentences.emplace_back(
        "more ranks share what a model holds, and devices with more memory hold more");
    explain_rejections(result.rejections, sentences);
    return sentences;
  } else {
    sentences.push_back(fmt::format("{} ({}); the nearest takes {}: {}",
                                    result.termination == Termination::kLimitReached
                                        ? "no plan found so far meets the limits"
                                        : "no plan meets the limits",
                                    limits(job), outcome(prediction), place(chosen.plan)));
    explain_misses(job, result, sentences);
  }
  explain_terms(prediction, sentences);
  if (const auto reason = market_reason(job, chosen); !reason.empty()) {
    sentences.push_back("market: " + reason);
  }
  sentences.push_back(
      fmt::format("learning rate: {}", fmt::join(rate_sentences(chosen.plan), "; ")));
  if (const int readers = chosen.plan.data.readers; readers > 1 && job.readers_chosen) {
    sentences.push_back(
        fmt::format("input: {} readers on each rank, the fewest that keep up", readers));
  }
  if (!chosen.plan.buckets.empty()) {
    sentences.push_back("gradients: " + sync_sentence(chosen.plan));
    if (result.baseline && result.baseline->plan.buckets != chosen.plan.buckets) {
      sentences.push_back("plain data parallelism with all_reduce in 25 MiB buckets takes " +
                          against(chosen, *result.baseline));
    }
  }
  if (result.ranked.size() > 1 && result.ranked[1].meets_limits == chosen.meets_limits) {
    sentences.push_back(fmt::format("the next plan, {}, takes {}", place(result.ranked[1].plan),
                                    against(chosen, result.ranked[1])));
  }
  if (const auto weakest = weakest_assumption(chosen.plan, prediction); !weakest.empty()) {
    sentences.push_back("weakest assumption: " + weakest);
  }
  if (const auto advice = probe_advice(job, result); advice && advice->worth) {
    sentences.push_back(probe_sentence(*advice));
  }
  explain_rejections(result.rejections, sentences);
  return sentences;
}

std::vector<std::string> explain_more(const TrainingJob& job, const SearchResult& result) {
  std::vector<std::string> sentences;
  if (result.ranked.empty()) return sentences;
  const RankedPlan& chosen = result.ranked.front();
  for (const std::string& text : market_sentences(chosen.plan, chosen.prediction)) {
    sentences.push_back("market: " + text);
  }
  if (result.closed_form) {
    for (std::string& text : closed_form_sentences(*result.closed_form, chosen)) {
      sentences.push_back(std::move(text));
    }
  } else {
    sentences.emplace_back("closed form: no number of devices meets the limits in it");
  }
  const auto advice = probe_advice(job, result);
  if (!advice) {
    sentences.emplace_back("a probe decides nothing: there is no second plan within the limits");
  } else if (!advice->worth) {
    sentences.push_back(probe_sentence(*advice));
  }
  return sentences;
}

}  // namespace pluto
