#include "cli/plan_table.h"

#include <fmt/format.h>

#include <map>

namespace pluto {

namespace {

std::string probability(const std::optional<double>& p) {
  return p ? fmt::format("{:.2f}", *p) : "-";
}

std::vector<std::string> row(const std::string& mark, const RankedPlan& ranked) {
  const Plan& plan = ranked.plan;
  const Prediction& p = ranked.prediction;
  const std::string batch =
      plan.accumulation > 1
          ? fmt::format("{} = {}x{}x{}", plan.global_batch, plan.layout.data, plan.micro_batch,
                        plan.accumulation)
          : fmt::format("{} = {}x{}", plan.global_batch, plan.layout.data, plan.micro_batch);
  return {mark,
          place_text(plan),
          std::to_string(plan.cluster.nodes),
          std::to_string(plan.layout.ranks()),
          layout_text(plan),
          batch,
          fmt::format("{:.4g}", plan.learning_rate.peak),
          sync_summary(plan),
          to_text(p.step_time.p50),
          with_p90(p.time_to_target),
          with_p90(p.price),
          to_text(p.memory.total()),
          probability(p.p_both       ? p.p_both
                      : p.p_deadline ? p.p_deadline
                                     : p.p_budget),
          evidence_summary(p)};
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
    const char* name = method == SyncMethod::kAllReduce          ? "allreduce"
                       : method == SyncMethod::kParameterServer  ? "ps"
                       : method == SyncMethod::kSufficientFactor ? "sfb"
                                                                 : to_text(method);
    text += fmt::format("{}{}({}p/{}b)", text.empty() ? "" : "+", name, count.first, count.second);
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

std::vector<std::vector<std::string>> plan_rows(const std::vector<RankedPlan>& ranked,
                                                const RankedPlan* baseline) {
  std::vector<std::vector<std::string>> rows = {{"#", "instance", "nodes", "ranks", "layout",
                                                 "batch", "lr", "sync", "step", "time p50 (p90)",
                                                 "price p50 (p90)", "memory", "P", "evidence"}};
  for (std::size_t i = 0; i < ranked.size(); ++i)
    rows.push_back(row(fmt::format("{}{}", i == 0 ? ">" : "", i + 1), ranked[i]));
  if (baseline) rows.push_back(row("base", *baseline));
  return rows;
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
