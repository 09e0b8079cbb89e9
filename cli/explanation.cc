#include "cli/explanation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/statistics.h"

namespace pluto {

namespace {

/// The quantile of a lognormal interval at `confidence`.
template <class Q>
Q at_confidence(const Interval<Q>& interval, double confidence) {
  if (!(interval.p50.value() > 0)) return interval.p50;
  const double sigma = std::log(interval.p90 / interval.p50) / normal_quantile(0.9);
  return interval.p50 * std::exp(normal_quantile(confidence) * sigma);
}

template <class Q>
LimitUse use(const char* name, const char* unit, Q limit, Q used) {
  return {name,
          unit,
          static_cast<double>(limit.value()),
          static_cast<double>(used.value()),
          to_text(limit),
          to_text(used)};
}

std::string percent(double share) { return fmt::format("{:.0f} %", 100 * share); }

std::string step_sentence(const Prediction& prediction) {
  std::vector<Term> terms = prediction.terms;
  std::ranges::stable_sort(terms, std::greater<>(), &Term::time);
  std::string text;
  for (const Term& term : terms) {
    const double share = term.time / prediction.step_time.p50;
    if (share < 0.01) break;
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", percent(share), term.name);
  }
  return fmt::format("a step of {} is {}", to_text(prediction.step_time.p50), text);
}

std::string memory_sentence(const Prediction& prediction) {
  const MemoryBreakdown& m = prediction.memory;
  const std::pair<const char*, Bytes> parts[] = {
      {"parameters", m.parameters + m.buffers},
      {"gradients", m.gradients},
      {"optimizer state", m.optimizer_state},
      {"inputs", m.inputs},
      {"activations", m.activations},
      {"workspace", m.workspace},
      {"communication", m.communication},
      {"the process besides", prediction.process_overhead}};
  const auto& [name, bytes] =
      *std::ranges::max_element(parts, {}, [](const auto& part) { return part.second; });
  const Bytes all = m.total() + prediction.process_overhead;
  return fmt::format("of the memory most is {}: {} of {}", name, to_text(bytes), to_text(all));
}

std::optional<double> probability(const Prediction& p) {
  return p.p_both ? p.p_both : p.p_deadline ? p.p_deadline : p.p_budget;
}

template <class Q>
std::string moved(Q now, Q then) {
  if (!(now.value() > 0)) return to_text(then);
  const double change = 100 * (then / now - 1);
  return fmt::format("{} ({:+.1f} %)", to_text(then), std::abs(change) < 0.05 ? 0.0 : change);
}

Value outcome_value(const Prediction& prediction) {
  Value value = Value::object();
  value.set("step_s", prediction.step_time.p50.value())
      .set("time_s", prediction.time_to_target.p50.value())
      .set("price_usd", prediction.price.p50.value());
  const auto p = probability(prediction);
  value.set("p_limits", p ? Value(*p) : Value());
  return value;
}

}  // namespace

std::vector<LimitUse> limit_uses(const Plan& plan, const Prediction& prediction) {
  std::vector<LimitUse> uses = {use("memory", "bytes", plan.cluster.instance.node.device.memory,
                                    prediction.memory.total() + prediction.process_overhead)};
  if (plan.deadline) {
    uses.push_back(use("deadline", "s", *plan.deadline,
                       at_confidence(prediction.time_to_target, plan.confidence)));
  }
  if (plan.budget) {
    uses.push_back(
        use("budget", "usd", *plan.budget, at_confidence(prediction.price, plan.confidence)));
  }
  return uses;
}

std::vector<std::string> binding_sentences(const Prediction& prediction,
                                           const std::vector<LimitUse>& uses) {
  std::vector<std::string> sentences = {step_sentence(prediction), memory_sentence(prediction)};
  const LimitUse& tightest = *std::ranges::max_element(uses, {}, &LimitUse::share);
  sentences.push_back(fmt::format("{} {}: {} of {} is used", tightest.name,
                                  tightest.share() > 1 ? "is exceeded" : "has least room",
                                  percent(tightest.share()), tightest.limit_text));
  return sentences;
}

std::vector<Assumption> assumptions_of(const Plan& plan) {
  std::vector<Assumption> all = {
      {"device speed", [](double factor) { return WhatIf{.device_speed = factor}; }}};
  const ClusterSpec& cluster = plan.cluster;
  const int ranks = plan.layout.ranks();
  const bool across = ranks > cluster.instance.node.devices || plan.server_nodes > 0;
  if (ranks > 1 && cluster.instance.node.devices > 1) {
    all.push_back({"bandwidth within a node",
                   [](double factor) { return WhatIf{.node_bandwidth = factor}; }});
  }
  if (across) {
    all.push_back(
        {"network bandwidth", [](double factor) { return WhatIf{.network_bandwidth = factor}; }});
  }
  all.push_back({"price of an hour", [](double factor) { return WhatIf{.price = factor}; }});
  all.push_back({"samples to the target", [](double factor) { return WhatIf{.samples = factor}; }});
  return all;
}

std::vector<std::vector<std::string>> limit_rows(const std::vector<LimitUse>& uses) {
  std::vector<std::vector<std::string>> rows = {{"limit", "allowed", "needed", "used"}};
  for (const LimitUse& one : uses) {
    rows.push_back({one.name, one.limit_text, one.used_text, percent(one.share())});
  }
  return rows;
}

std::vector<std::vector<std::string>> sensitivity_rows(const Prediction& now,
                                                       const std::vector<Sensitivity>& all) {
  const std::string less = fmt::format("-{:.0f} %", 100 * kSensitivityStep),
                    more = fmt::format("+{:.0f} %", 100 * kSensitivityStep);
  std::vector<std::vector<std::string>> rows = {
      {"what changes", "time at " + less, "time at " + more, "price at " + less, "price at " + more,
       "P at " + less, "P at " + more}};
  const auto chance = [](const Prediction& p) {
    return probability(p) ? fmt::format("{:.2f}", *probability(p)) : std::string("-");
  };
  for (const Sensitivity& one : all) {
    const auto time = [&](const Prediction& p) {
      return moved(now.time_to_target.p50, p.time_to_target.p50);
    };
    const auto price = [&](const Prediction& p) { return moved(now.price.p50, p.price.p50); };
    rows.push_back({one.what, time(one.less), time(one.more), price(one.less), price(one.more),
                    chance(one.less), chance(one.more)});
  }
  return rows;
}

Value to_value(const std::vector<LimitUse>& uses) {
  Value list = Value::array();
  for (const LimitUse& one : uses) {
    Value value = Value::object();
    value.set("name", one.name)
        .set("unit", one.unit)
        .set("allowed", one.limit)
        .set("needed", one.used)
        .set("share", one.share());
    list.push_back(std::move(value));
  }
  return list;
}

Value to_value(const std::vector<Sensitivity>& all) {
  Value list = Value::array();
  for (const Sensitivity& one : all) {
    Value value = Value::object();
    value.set("what", one.what)
        .set("step", kSensitivityStep)
        .set("less", outcome_value(one.less))
        .set("more", outcome_value(one.more));
    list.push_back(std::move(value));
  }
  return list;
}

}  // namespace pluto
