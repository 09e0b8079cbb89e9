#include "cli/plan_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/text.h"

namespace pluto {

namespace {

std::string probability_of_limits(const Prediction& prediction) {
  const auto p = prediction.p_both       ? prediction.p_both
                 : prediction.p_deadline ? prediction.p_deadline
                                         : prediction.p_budget;
  return p ? fmt::format("{:.2f}", *p) : "-";
}

const char* short_name(SyncMethod method) {
  switch (method) {
    case SyncMethod::kAllReduce:
      return "allreduce";
    case SyncMethod::kParameterServer:
      return "ps";
    case SyncMethod::kSufficientFactor:
      return "sfb";
    default:
      return to_text(method);
  }
}

/// Which of its forms a table has, widest first.
enum class Form : std::uint8_t { kWhole, kNarrow, kShort, kPlaces, kRest };

using Row = std::vector<std::string>;
using Rows = std::vector<Row>;

bool is_short(Form form) { return form != Form::kWhole && form != Form::kNarrow; }

std::string batch_text(const Plan& plan, Form form) {
  if (is_short(form)) return std::to_string(plan.global_batch);
  std::string text =
      fmt::format("{} = {}x{}", plan.global_batch, plan.layout.data, plan.micro_batch);
  if (plan.accumulation > 1) text += fmt::format("x{}", plan.accumulation);
  return text;
}

std::string short_sync(const Plan& plan) {
  if (plan.buckets.empty()) return "none";
  std::set<std::string> methods;
  for (const BucketPlan& bucket : plan.buckets) methods.insert(short_name(bucket.method));
  return fmt::format("{}", fmt::join(methods, "+"));
}

/// The weakest of the terms that matter.
std::string weakest_evidence(const Prediction& prediction) {
  Evidence weakest = Evidence::kMeasured;
  for (const Term& term : prediction.terms) {
    if (term.time.value() >= 0.05 * prediction.step_time.p50.value()) {
      weakest = std::max(weakest, term.evidence);
    }
  }
  return std::string(1, evidence_letter(weakest));
}

const char* probability_heading(const Prediction& p) {
  return p.p_both ? "P(both)" : p.p_deadline ? "P(deadline)" : p.p_budget ? "P(budget)" : "P";
}

struct Columns {
  Form form = Form::kWhole;
  bool layout = false;            // of one plan at least it is not plain
  const char* probability = "P";  // heading

  bool places() const { return form != Form::kRest; }
  bool rest() const { return form != Form::kPlaces; }
  bool extras() const { return form == Form::kWhole; }

  Row heading() const {
    Row row = {"#"};
    const auto add = [&](const char* name) { row.emplace_back(name); };
    if (places()) {
      for (const char* name : {"instance x nodes", "market"}) add(name);
      if (layout) add("layout");
      add("batch");
    }
    if (rest()) {
      for (const char* name : {"lr", "sync"}) add(name);
      if (extras()) add("step");
      for (const char* name : {"time p50 (p90)", "price p50 (p90)"}) add(name);
      if (extras()) add("memory");
      add(is_short(form) ? "P" : probability);
      add("evidence");
    }
    return row;
  }

  Row row(const std::string& mark, const RankedPlan& ranked) const {
    const Plan& plan = ranked.plan;
    const Prediction& p = ranked.prediction;
    Row row = {mark};
    const auto add = [&](std::string text) { row.push_back(std::move(text)); };
    if (places()) {
      add(fmt::format("{} x {}", plan.cluster.instance.name, plan.cluster.nodes));
      add(market_text(plan));
      if (layout) add(layout_text(plan));
      add(batch_text(plan, form));
    }
    if (rest()) {
      add(fmt::format("{:.4g}", plan.learning_rate.peak));
      add(is_short(form) ? short_sync(plan) : sync_summary(plan));
      if (extras()) add(to_text(p.step_time.p50));
      add(with_p90(p.time_to_target));
      add(with_p90(p.price));
      if (extras()) add(to_text(p.memory.total()));
      add(probability_of_limits(p));
      add(is_short(form) ? weakest_evidence(p) : evidence_summary(p));
    }
    return row;
  }
};

/// Of the table that format_table() makes.
std::size_t width_of(const Rows& rows) {
  std::size_t width = 0;
  for (std::size_t column = 0; column < rows.front().size(); ++column) {
    std::size_t widest = 0;
    for (const Row& row : rows) widest = std::max(widest, row[column].size());
    width += widest + (column > 0 ? 2 : 0);
  }
  return width;
}

Value basis_value(const Plan& plan) {
  if (!plan.rate_basis) return {};
  Value value = Value::object();
  value.set("rule", to_text(plan.rate_basis->rule))
      .set("tuned_batch", plan.rate_basis->tuned_batch)
      .set("tuned_peak", plan.rate_basis->tuned_peak)
      .set("low", plan.rate_basis->low)
      .set("high", plan.rate_basis->high);
  return value;
}

}  // namespace

std::string layout_text(const Plan& plan) {
  const Layout& layout = plan.layout;
  std::string text = fmt::format("data {}", layout.data);
  const auto degree = [&](const char* name, int value) {
    if (value > 1) text += fmt::format(" {} {}", name, value);
  };
  degree("tensor", layout.tensor);
  degree("pipeline", layout.pipeline);
  degree("interleave", plan.pipeline.interleave);
  degree("context", layout.context);
  if (plan.sequence_parallel) text += ", sequence parallel";
  if (plan.shard > 0) text += fmt::format(", shard {}", plan.shard);
  if (plan.recompute != Recompute::kNone) {
    text += fmt::format(", recompute {}", to_text(plan.recompute));
  }
  return text;
}

Value layout_value(const Plan& plan) {
  Value layout = Value::object();
  layout.set("data", plan.layout.data)
      .set("tensor", plan.layout.tensor)
      .set("pipeline", plan.layout.pipeline)
      .set("context", plan.layout.context)
      .set("interleave", plan.pipeline.interleave)
      .set("sequence_parallel", plan.sequence_parallel)
      .set("shard", plan.shard)
      .set("recompute", to_text(plan.recompute));
  return layout;
}

std::string with_p90(const Interval<Seconds>& interval) {
  return fmt::format("{} ({})", to_text(interval.p50), to_text(interval.p90));
}
std::string with_p90(const Interval<Dollars>& interval) {
  return fmt::format("{} ({})", to_text(interval.p50), to_text(interval.p90));
}

std::string place_text(const Plan& plan) {
  const std::string& name = plan.cluster.instance.name;
  if (plan.cluster.market == Market::kOnDemand) return name;
  if (!plan.on_demand_after) return name + " spot";
  return fmt::format("{} spot to {:.0f} %", name, 100 * *plan.on_demand_after);
}

std::string market_text(const Plan& plan) {
  if (plan.cluster.market == Market::kOnDemand) {
    return plan.cluster.instance.rental ? "on demand" : "own";
  }
  if (!plan.on_demand_after) return "spot";
  return fmt::format("spot to {:.0f} %", 100 * *plan.on_demand_after);
}

std::string sync_summary(const Plan& plan) {
  if (plan.buckets.empty()) return "none";
  std::map<SyncMethod, std::pair<std::size_t, std::size_t>>
      parameters;  // count of parameters, of buckets
  for (const BucketPlan& bucket : plan.buckets) {
    parameters[bucket.method].first += bucket.parameters.size();
    parameters[bucket.method].second += 1;
  }
  std::string text;
  for (const auto& [method, count] : parameters) {
    text += fmt::format("{}{}({}p/{}b)", text.empty() ? "" : "+", short_name(method), count.first,
                        count.second);
  }
  return text;
}

std::string evidence_summary(const Prediction& prediction) {
  std::string text;
  for (const Term& term : prediction.terms) {
    if (term.time.value() < 0.05 * prediction.step_time.p50.value()) continue;
    const std::string name = term.name == "exposed_comm"    ? "comm"
                             : term.name == "exposed_input" ? "input"
                                                            : term.name;
    text += fmt::format("{}{} {}", text.empty() ? "" : " ", name, evidence_letter(term.evidence));
  }
  return text;
}

std::vector<Rows> plan_tables(const std::vector<RankedPlan>& ranked, const RankedPlan* baseline,
                              int width) {
  Columns columns;
  const auto plain = [](const RankedPlan& one) {
    Plan plan;
    plan.layout.data = one.plan.layout.data;
    return layout_text(one.plan) == layout_text(plan);
  };
  columns.layout = !std::ranges::all_of(ranked, plain) || (baseline && !plain(*baseline));
  if (!ranked.empty()) columns.probability = probability_heading(ranked.front().prediction);
  const auto table = [&](Form form) {
    columns.form = form;
    Rows rows = {columns.heading()};
    for (std::size_t i = 0; i < ranked.size(); ++i) {
      rows.push_back(columns.row(fmt::format("{}{}", i == 0 ? ">" : "", i + 1), ranked[i]));
    }
    if (baseline) rows.push_back(columns.row("base", *baseline));
    return rows;
  };
  for (const Form form : {Form::kWhole, Form::kNarrow, Form::kShort}) {
    Rows rows = table(form);
    if (width == 0 || width_of(rows) <= static_cast<std::size_t>(width)) return {std::move(rows)};
  }
  return {table(Form::kPlaces), table(Form::kRest)};
}

void say_tables(Terminal& terminal, const std::vector<Rows>& tables) {
  for (const Rows& rows : tables) terminal.say(format_table(rows));
}

std::vector<std::vector<std::string>> term_rows(const Prediction& prediction) {
  std::vector<std::vector<std::string>> rows = {
      {"term", "predicted", "share of step", "spread", "evidence"}};
  for (const Term& term : prediction.terms) {
    rows.push_back({term.name, to_text(term.time),
                    fmt::format("{:.1f} %", 100 * (term.time / prediction.step_time.p50)),
                    fmt::format("+-{:.0f} %", 100 * term.relative_spread), to_text(term.evidence)});
  }
  rows.push_back({"step", to_text(prediction.step_time.p50), "100 %",
                  fmt::format("{} .. {}", to_text(prediction.step_time.p10),
                              to_text(prediction.step_time.p90)),
                  ""});
  return rows;
}

std::vector<std::vector<std::string>> run_rows(const Prediction& prediction) {
  std::vector<std::vector<std::string>> rows = {{"run", "time", "price", "spread", "evidence"}};
  for (const RunTerm& term : prediction.run_terms) {
    rows.push_back({term.name, to_text(term.time), to_text(term.price),
                    fmt::format("+-{:.0f} %", 100 * term.relative_spread), to_text(term.evidence)});
  }
  rows.push_back({"to the target", to_text(prediction.time_to_target.p50),
                  to_text(prediction.price.p50),
                  fmt::format("{} .. {}", to_text(prediction.time_to_target.p10),
                              to_text(prediction.time_to_target.p90)),
                  ""});
  return rows;
}

Value sentences_value(const std::vector<std::string>& sentences) {
  Value list = Value::array();
  for (const std::string& line : sentences) list.push_back(line);
  return list;
}

Value plan_value(const RankedPlan& ranked) {
  Value value = Value::object();
  value.set("instance", ranked.plan.cluster.instance.name)
      .set("market", to_text(ranked.plan.cluster.market))
      .set("price_date", ranked.plan.cluster.instance.price_date)
      .set("nodes", ranked.plan.cluster.nodes)
      .set("ranks", ranked.plan.layout.ranks());
  value.set("layout", layout_value(ranked.plan));
  value.set("global_batch", ranked.plan.global_batch)
      .set("micro_batch", ranked.plan.micro_batch)
      .set("accumulation", ranked.plan.accumulation);
  value.set("learning_rate", ranked.plan.learning_rate.peak)
      .set("schedule", to_text(ranked.plan.learning_rate.schedule))
      .set("warmup_samples", ranked.plan.learning_rate.warmup_samples)
      .set("rate_basis", basis_value(ranked.plan))
      .set("readers", ranked.plan.data.readers)
      .set("sync", sync_summary(ranked.plan))
      .set("steps", ranked.plan.steps);
  if (ranked.plan.on_demand_after) value.set("on_demand_after", *ranked.plan.on_demand_after);
  if (ranked.plan.checkpoint_every > 0) {
    value.set("checkpoint_every", ranked.plan.checkpoint_every);
  }
  value.set("meets_limits", ranked.meets_limits).set("prediction", to_value(ranked.prediction));
  return value;
}

}  // namespace pluto
