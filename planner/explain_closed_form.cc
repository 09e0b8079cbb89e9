#include "planner/explain_closed_form.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

namespace pluto {

namespace {

constexpr double kWorthTelling = 0.1;  // of the step, of the time, of the price

bool far(double a, double b) {
  return a > 0 && b > 0 && std::abs(std::log(a / b)) > std::log(kFarRatio);
}

std::string percent(double share) { return fmt::format("{:.0f} %", 100 * share); }

void add_step_causes(const RankedPlan& chosen, std::vector<std::string>& causes) {
  const Prediction& it = chosen.prediction;
  double communication = 0, bubble = 0;
  for (const Term& term : it.terms) {
    const double share = term.time / it.step_time.p50;
    if (term.name.ends_with("comm")) communication += share;
    if (term.name == "bubble") bubble += share;
  }
  if (communication > kWorthTelling) {
    causes.push_back(fmt::format("communication is {} of the step", percent(communication)));
  }
  if (bubble > kWorthTelling) {
    causes.push_back(fmt::format("{} of the step is pipeline bubble", percent(bubble)));
  }
  const double used =
      (it.memory.total() + it.process_overhead) / chosen.plan.cluster.instance.node.device.memory;
  if (used > 1 - kWorthTelling) causes.push_back(fmt::format("memory is {} full", percent(used)));
}

void add_run_causes(const Prediction& it, std::vector<std::string>& causes) {
  for (const RunTerm& term : it.run_terms) {
    if (term.name == "training") continue;
    const bool slow = term.time.value() > kWorthTelling * it.time_to_target.p50.value();
    const bool dear = term.price.value() > kWorthTelling * it.price.p50.value();
    if (!slow && !dear) continue;
    std::string name = term.name;
    std::ranges::replace(name, '_', '-');
    causes.push_back(fmt::format("{} {} and {}", name, to_text(term.time), to_text(term.price)));
  }
}

}  // namespace

std::vector<std::string> closed_form_sentences(const ClosedFormChoice& choice,
                                               const RankedPlan& chosen) {
  const Plan& plan = chosen.plan;
  const Prediction& it = chosen.prediction;
  const ClosedFormPlan& closed = choice.plan;
  std::vector<std::string> sentences = {
      fmt::format("closed form: {} device{} of {} with global batch {:.0f}, {} and {}; the "
                  "plan has {}, {}, "
                  "{} and {}",
                  closed.devices, closed.devices == 1 ? "" : "s", choice.instance, closed.batch,
                  to_text(closed.time), to_text(closed.price), plan.layout.ranks(),
                  plan.global_batch, to_text(it.time_to_target.p50), to_text(it.price.p50))};
  const bool elsewhere = choice.instance != plan.cluster.instance.name;
  const bool other_size = far(plan.layout.ranks(), closed.devices);
  const bool other_batch = far(static_cast<double>(plan.global_batch), closed.batch);
  const bool other_end = far(it.time_to_target.p50.value(), closed.time.value()) ||
                         far(it.price.p50.value(), closed.price.value());
  if (!elsewhere && !other_size && !other_batch && !other_end) return sentences;
  std::vector<std::string> causes;
  if (elsewhere) causes.push_back("it is on " + plan.cluster.instance.name);
  add_step_causes(chosen, causes);
  add_run_causes(it, causes);
  if (!elsewhere && (other_end || other_size)) {
    const double batch = static_cast<double>(plan.global_batch);
    const Seconds own = closed_form_time(choice.job, plan.layout.ranks(), batch);
    causes.push_back(
        fmt::format("by the closed form its own devices and batch take {}", to_text(own)));
  }
  if (other_batch) {
    const double batch = static_cast<double>(plan.global_batch);
    const double longer = closed_form_time(choice.job, closed.devices, batch) / closed.time - 1;
    causes.push_back(fmt::format("in the closed form batch {} takes {} longer", plan.global_batch,
                                 percent(longer)));
  }
  sentences.push_back(fmt::format("the plan is far from it: {}", fmt::join(causes, "; ")));
  return sentences;
}

}  // namespace pluto
