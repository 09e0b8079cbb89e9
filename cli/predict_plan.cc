#include "cli/predict_plan.h"

#include <fmt/format.h>

#include "base/document.h"
#include "base/fingerprint.h"
#include "base/text.h"
#include "cli/plan_table.h"
#include "cli/price_plan.h"
#include "cli/window.h"
#include "planner/ranking.h"

namespace pluto {

namespace {

constexpr int kDoesNotFit = 3;

bool keeps_limits(const RankedPlan& ranked) {
  const Prediction& p = ranked.prediction;
  return p.p_deadline.value_or(1) >= ranked.plan.confidence &&
         p.p_budget.value_or(1) >= ranked.plan.confidence;
}

}  // namespace

bool is_plan_file(const std::string& path) {
  if (!path.ends_with(".json")) return false;
  const auto text = read_file(path);
  if (!text.ok()) return false;
  const auto document = parse_json(*text, path);
  return document.ok() && document->is_object() && document->find("model_fingerprint") != nullptr;
}

Result<int> predict_saved_plan(Session& session, const std::string& path) {
  PLUTO_ASSIGN(const PlanPricer pricer, PlanPricer::open(session, path));
  PLUTO_ASSIGN_AT(path, Prediction prediction, pricer.predict());
  RankedPlan ranked{pricer.plan(), std::move(prediction), false};
  const Plan& plan = ranked.plan;
  const Prediction& p = ranked.prediction;
  const bool fits = fits_memory(plan, p);
  ranked.meets_limits = fits && keeps_limits(ranked);
  const char* priced_by = pricer.closed_form() ? "closed form" : "simulator";
  Value inputs = Value::object();
  inputs.set("plan", to_hex(fingerprint(plan)))
      .set("instance", to_value(plan.cluster.instance))
      .set("measured", pricer.measured());
  Value document = Value::object();
  document.set("schema", "pluto.predict/1")
      .set("priced_by", priced_by)
      .set("plan", plan_value(ranked))
      .set("fits", fits)
      .set("inputs", std::move(inputs));
  Terminal& terminal = *session.terminal;
  terminal.result(document);
  terminal.say(fmt::format("{}  {}  plan {}  priced by the {}", plan.job, plan.model.source,
                           to_hex(fingerprint(plan)), priced_by));
  terminal.say("");
  say_tables(terminal, plan_tables({ranked}, nullptr, table_width()));
  terminal.say(format_table(term_rows(p)));
  terminal.say(format_table(run_rows(p)));
  for (const std::string& line : p.assumptions) terminal.say("assumes   " + line);
  if (!fits) {
    terminal.say(fmt::format(
        "does not fit: {} needed, {} has {}", to_text(p.memory.total() + p.process_overhead),
        plan.cluster.instance.node.device.name, to_text(plan.cluster.instance.node.device.memory)));
    return kDoesNotFit;
  }
  terminal.say(fmt::format(
      "next      pluto-plan explain {}     (what binds, what a change would do)", path));
  return 0;
}

}  // namespace pluto
