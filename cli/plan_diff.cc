#include "cli/plan_diff.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <tuple>

#include "base/check.h"
#include "cli/plan_table.h"

namespace pluto {

namespace {

constexpr const char* kAbsent = "-";

// --- plans ---

std::string words_of(std::string key) {
  std::ranges::replace(key, '_', ' ');
  return key;
}

/// A value on one line, long ones cut.
std::string short_text(const Value* value) {
  if (value == nullptr) return kAbsent;
  if (value->is_string()) return value->as_string();
  std::string text = to_json(*value, true);
  constexpr std::size_t kLongest = 60;
  if (text.size() > kLongest) text = text.substr(0, kLongest - 3) + "...";
  return text;
}

std::string buckets_text(const Plan& plan) {
  if (plan.buckets.empty()) return "none";
  using Kind = std::tuple<SyncMethod, DType, CollectiveAlgorithm, int>;
  std::map<Kind, std::pair<std::size_t, std::size_t>> kinds;  // buckets, parameters
  for (const BucketPlan& bucket : plan.buckets) {
    auto& count = kinds[{bucket.method, bucket.wire, bucket.algorithm, bucket.chunks}];
    count.first += 1;
    count.second += bucket.parameters.size();
  }
  std::string text;
  for (const auto& [kind, count] : kinds) {
    const auto& [method, wire, algorithm, chunks] = kind;
    text += fmt::format("{}{} of {} parameters in {} bucket{}", text.empty() ? "" : "; ",
                        to_text(method), count.second, count.first, count.first == 1 ? "" : "s");
    if (wire != DType::kF32) text += fmt::format(", {} on the wire", to_text(wire));
    if (algorithm != CollectiveAlgorithm::kRing) text += fmt::format(", {}", to_text(algorithm));
    if (chunks > 1) text += fmt::format(", {} chunks", chunks);
  }
  return text;
}

std::string rate_text(const Plan& plan) {
  const LearningRate& rate = plan.learning_rate;
  std::string text = fmt::format("{:.4g} {}", rate.peak, to_text(rate.schedule));
  if (rate.warmup_samples > 0) text += fmt::format(", warm-up {} samples", rate.warmup_samples);
  for (std::size_t i = 0; i < rate.boundaries.size() && i + 1 < rate.rates.size(); ++i)
    text += fmt::format(", {:.4g} from {}", rate.rates[i + 1], rate.boundaries[i]);
  return text;
}

std::string basis_text(const Plan& plan) {
  if (!plan.rate_basis) return kAbsent;
  const RateBasis& basis = *plan.rate_basis;
  return fmt::format("{} from {:.4g} at {}, band {:.3g} to {:.3g}", to_text(basis.rule),
                     basis.tuned_peak, basis.tuned_batch, basis.low, basis.high);
}

std::string optimizer_text(const Plan& plan) {
  if (const auto* sgd = std::get_if<SgdAttrs>(&plan.optimizer)) {
    return fmt::format("sgd, momentum {:.4g}{}, weight decay {:.4g}", sgd->momentum,
                       sgd->nesterov ? " (nesterov)" : "", sgd->weight_decay);
  }
  const auto& adam = std::get<AdamAttrs>(plan.optimizer);
  return fmt::format("{}, betas {:.4g} {:.4g}, epsilon {:.4g}, weight decay {:.4g}",
                     adam.decoupled ? "adamw" : "adam", adam.beta1, adam.beta2, adam.epsilon,
                     adam.weight_decay);
}

std::string layout_words(const Plan& plan) {
  return fmt::format("{} ranks: {}", plan.layout.ranks(), layout_text(plan));
}

std::string price_text(const ClusterSpec& cluster) {
  return fmt::format("{}/h{}", to_text(Dollars(cluster.price().value())),
                     cluster.instance.price_date.empty() ? "" : ", " + cluster.instance.price_date);
}

std::string device_text(const ClusterSpec& cluster) {
  return fmt::format("{} x {}", cluster.instance.node.devices, cluster.instance.node.device.name);
}

/// One place where two plans are compared in words.
class Comparer {
 public:
  Comparer(const Plan& first, const Plan& second) : first_(first), second_(second) {}

  std::vector<Difference> run() {
    const auto a = parse_json(to_json(first_), "first"), b = parse_json(to_json(second_), "second");
    PLUTO_CHECK(a.ok() && b.ok(), "a plan is a document");
    std::vector<std::string> keys;
    for (const auto* document : {&*a, &*b}) {
      for (const auto& [key, value] : document->as_object()) {
        if (std::ranges::find(keys, key) == keys.end()) keys.push_back(key);
      }
    }
    for (const std::string& key : keys) compare(key, a->find(key), b->find(key));
    return std::move(found_);
  }

 private:
  using Words = std::string (*)(const Plan&);

  /// The fields that have words of their own.
  static const std::map<std::string, std::pair<const char*, Words>>& worded() {
    static const std::map<std::string, std::pair<const char*, Words>> kWorded = {
        {"buckets", {"buckets", buckets_text}},
        {"learning_rate", {"learning rate", rate_text}},
        {"rate_basis", {"learning rate from", basis_text}},
        {"optimizer", {"optimizer", optimizer_text}},
        {"layout", {"layout", layout_words}},
        {"deadline_s",
         {"deadline",
          [](const Plan& plan) { return plan.deadline ? to_text(*plan.deadline) : kAbsent; }}},
        {"budget_usd",
         {"budget",
          [](const Plan& plan) { return plan.budget ? to_text(*plan.budget) : kAbsent; }}},
    };
    return kWorded;
  }

  void add(const std::string& field, const std::string& a, const std::string& b) {
    found_.push_back({field, a, b});
  }
  bool add_unequal(const std::string& field, const std::string& a, const std::string& b) {
    if (a != b) add(field, a, b);
    return a != b;
  }

  void compare(const std::string& key, const Value* a, const Value* b) {
    if (a != nullptr && b != nullptr && *a == *b) return;
    if (key == "cluster") return compare_clusters(*a, *b);
    if (const auto known = worded().find(key); known != worded().end()) {
      const auto& [field, words] = known->second;
      // Words leave things out: which parameters are in which bucket.
      if (!add_unequal(field, words(first_), words(second_))) {
        add(field, words(first_), "the same, arranged otherwise");
      }
      return;
    }
    leaves(words_of(key), a, b);
  }

  void compare_clusters(const Value& a, const Value& b) {
    const ClusterSpec &one = first_.cluster, &other = second_.cluster;
    const bool moved = one.instance.name != other.instance.name;
    if (moved) {
      add("instance", one.instance.name, other.instance.name);
      add_unequal("devices of a node", device_text(one), device_text(other));
    }
    add_unequal("nodes", std::to_string(one.nodes), std::to_string(other.nodes));
    add_unequal("market", to_text(one.market), to_text(other.market));
    if (moved) {
      add_unequal("price of the nodes", price_text(one), price_text(other));
    } else {
      leaves("instance", a.find("instance"), b.find("instance"));
    }
    leaves("further nodes", a.find("more"), b.find("more"));
  }

  /// Down to where the documents differ.
  void leaves(const std::string& field, const Value* a, const Value* b) {
    const bool both = a != nullptr && b != nullptr;
    if (a == b || (both && *a == *b)) return;
    if (!both || !a->is_object() || !b->is_object()) {
      return add(field, short_text(a), short_text(b));
    }
    for (const auto& [key, value] : a->as_object())
      leaves(field + " " + words_of(key), &value, b->find(key));
    for (const auto& [key, value] : b->as_object()) {
      if (a->find(key) == nullptr) add(field + " " + words_of(key), kAbsent, short_text(&value));
    }
  }

  const Plan& first_;
  const Plan& second_;
  std::vector<Difference> found_;
};

// --- predictions ---

std::optional<double> term_of(const Prediction& prediction, const std::string& name) {
  for (const Term& term : prediction.terms) {
    if (term.name == name) return term.time.value();
  }
  return std::nullopt;
}

/// Names of the terms of both, in their order.
template <class AnyTerm>
std::vector<std::string> names_of(const std::vector<AnyTerm>& first,
                                  const std::vector<AnyTerm>& second) {
  std::vector<std::string> names;
  for (const auto* terms : {&first, &second}) {
    for (const AnyTerm& term : *terms) {
      if (std::ranges::find(names, term.name) == names.end()) names.push_back(term.name);
    }
  }
  return names;
}

const RunTerm* run_term(const Prediction& prediction, const std::string& name) {
  const auto found = std::ranges::find(prediction.run_terms, name, &RunTerm::name);
  return found == prediction.run_terms.end() ? nullptr : &*found;
}

std::string text_of(Change::Unit unit, const std::optional<double>& value) {
  if (!value) return kAbsent;
  switch (unit) {
    case Change::Unit::kSeconds:
      return to_text(Seconds(*value));
    case Change::Unit::kBytes:
      return to_text(Bytes(static_cast<std::int64_t>(*value)));
    case Change::Unit::kDollars:
      return to_text(Dollars(*value));
    case Change::Unit::kProbability:
      return fmt::format("{:.2f}", *value);
  }
  return kAbsent;
}

const char* unit_text(Change::Unit unit) {
  switch (unit) {
    case Change::Unit::kSeconds:
      return "s";
    case Change::Unit::kBytes:
      return "bytes";
    case Change::Unit::kDollars:
      return "usd";
    case Change::Unit::kProbability:
      return "probability";
  }
  return "";
}

Value number(const std::optional<double>& value) { return value ? Value(*value) : Value(); }

}  // namespace

std::vector<Difference> plan_differences(const Plan& first, const Plan& second) {
  return Comparer(first, second).run();
}

std::optional<double> Change::relative() const {
  if (!first || !second || *first == 0) return std::nullopt;
  return *second / *first - 1;
}

std::vector<Change> prediction_changes(const Prediction& first, const Prediction& second) {
  using Unit = Change::Unit;
  std::vector<Change> changes;
  const auto add = [&](const std::string& what, Unit unit, std::optional<double> a,
                       std::optional<double> b) {
    if (a.value_or(0) != 0 || b.value_or(0) != 0) changes.push_back({what, unit, a, b});
  };
  add("step", Unit::kSeconds, first.step_time.p50.value(), second.step_time.p50.value());
  for (const std::string& name : names_of(first.terms, second.terms))
    add("  " + name, Unit::kSeconds, term_of(first, name), term_of(second, name));

  const MemoryBreakdown &a = first.memory, &b = second.memory;
  const auto bytes = [&](const char* what, Bytes one, Bytes other) {
    add(what, Unit::kBytes, static_cast<double>(one.value()), static_cast<double>(other.value()));
  };
  bytes("memory of a rank", a.total() + first.process_overhead,
        b.total() + second.process_overhead);
  bytes("  parameters", a.parameters + a.buffers, b.parameters + b.buffers);
  bytes("  gradients", a.gradients, b.gradients);
  bytes("  optimizer state", a.optimizer_state, b.optimizer_state);
  bytes("  inputs", a.inputs, b.inputs);
  bytes("  activations", a.activations, b.activations);
  bytes("  workspace", a.workspace, b.workspace);
  bytes("  communication", a.communication, b.communication);
  bytes("  process besides", first.process_overhead, second.process_overhead);

  const auto add_run = [&](Unit unit, auto value) {
    for (const std::string& name : names_of(first.run_terms, second.run_terms)) {
      const RunTerm *one = run_term(first, name), *other = run_term(second, name);
      add("  " + name, unit, one ? std::optional(value(*one)) : std::nullopt,
          other ? std::optional(value(*other)) : std::nullopt);
    }
  };
  add("time to target", Unit::kSeconds, first.time_to_target.p50.value(),
      second.time_to_target.p50.value());
  add("  p90", Unit::kSeconds, first.time_to_target.p90.value(), second.time_to_target.p90.value());
  add_run(Unit::kSeconds, [](const RunTerm& term) { return term.time.value(); });
  add("price", Unit::kDollars, first.price.p50.value(), second.price.p50.value());
  add("  p90", Unit::kDollars, first.price.p90.value(), second.price.p90.value());
  add_run(Unit::kDollars, [](const RunTerm& term) { return term.price.value(); });
  add("P(deadline)", Unit::kProbability, first.p_deadline, second.p_deadline);
  add("P(budget)", Unit::kProbability, first.p_budget, second.p_budget);
  add("P(both)", Unit::kProbability, first.p_both, second.p_both);
  return changes;
}

std::vector<std::vector<std::string>> difference_rows(const std::vector<Difference>& differences,
                                                      const std::string& first,
                                                      const std::string& second) {
  std::vector<std::vector<std::string>> rows = {{"decided", first, second}};
  for (const Difference& one : differences) rows.push_back({one.field, one.first, one.second});
  return rows;
}

std::vector<std::vector<std::string>> change_rows(const std::vector<Change>& changes,
                                                  const std::string& first,
                                                  const std::string& second) {
  std::vector<std::vector<std::string>> rows = {{"predicted", first, second, "change"}};
  for (const Change& one : changes) {
    const bool relative = one.unit != Change::Unit::kProbability && one.relative();
    rows.push_back({one.what, text_of(one.unit, one.first), text_of(one.unit, one.second),
                    relative ? fmt::format("{:+.1f} %", 100 * *one.relative()) : kAbsent});
  }
  return rows;
}

Value to_value(const std::vector<Difference>& differences) {
  Value list = Value::array();
  for (const Difference& one : differences) {
    Value value = Value::object();
    value.set("field", one.field).set("first", one.first).set("second", one.second);
    list.push_back(std::move(value));
  }
  return list;
}

Value to_value(const std::vector<Change>& changes) {
  Value list = Value::array();
  std::string group;
  for (const Change& one : changes) {
    const bool part = one.what.starts_with("  ");
    if (!part) group = one.what;
    Value value = Value::object();
    value.set("what", part ? group + ": " + one.what.substr(2) : one.what)
        .set("unit", unit_text(one.unit))
        .set("first", number(one.first))
        .set("second", number(one.second))
        .set("relative", number(one.relative()));
    list.push_back(std::move(value));
  }
  return list;
}

}  // namespace pluto
