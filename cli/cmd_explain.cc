// explain: what binds a saved plan, and what it would take if the world were another.

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "base/text.h"
#include "cli/explanation.h"
#include "cli/plan_commands.h"
#include "cli/plan_table.h"
#include "cli/price_plan.h"
#include "cli/window.h"
#include "planner/explain_market.h"
#include "planner/explain_rate.h"
#include "planner/ranking.h"
#include "planner/weakness.h"

namespace pluto {

namespace {

constexpr int kDoesNotFit = 3;

std::string next_line(const PlanPricer& pricer, const std::string& path) {
  const InstanceType& instance = pricer.plan().cluster.instance;
  if (instance.name == "local") return fmt::format("pluto-plan run {} -o run.json", path);
  if (pricer.closed_form() && !pricer.measured()) {
    return fmt::format(
        "pluto-plan calibrate --suggest 20 --instance {}     (short runs that make this surer)",
        instance.name);
  }
  return fmt::format("pluto-plan diff {} OTHER.json     (against another plan)", path);
}

Result<int> explain_plan(Session& session, const std::string& path) {
  PLUTO_ASSIGN(const PlanPricer pricer, PlanPricer::open(session, path));
  const Plan& plan = pricer.plan();
  PLUTO_ASSIGN_AT(path, const Prediction now, pricer.predict());
  std::vector<Sensitivity> sensitivities;
  for (const Assumption& one : assumptions_of(plan)) {
    Sensitivity both{one.what, {}, {}};
    PLUTO_ASSIGN_AT(path, both.less, pricer.predict(one.world(1 - kSensitivityStep)));
    PLUTO_ASSIGN_AT(path, both.more, pricer.predict(one.world(1 + kSensitivityStep)));
    sensitivities.push_back(std::move(both));
  }
  const bool fits = fits_memory(plan, now);
  const auto uses = limit_uses(plan, now);
  const auto binds = binding_sentences(now, uses);
  const std::string weakest = weakest_assumption(plan, now);
  const char* priced_by = pricer.closed_form() ? "closed form" : "simulator";

  RankedPlan ranked{plan, now, false};
  const bool limits_met =
      now.p_deadline.value_or(1) >= plan.confidence && now.p_budget.value_or(1) >= plan.confidence;
  ranked.meets_limits = fits && limits_met;
  Terminal& terminal = *session.terminal;
  Value document = Value::object();
  document.set("schema", "pluto.explain/1")
      .set("priced_by", priced_by)
      .set("plan", plan_value(ranked))
      .set("fits", fits)
      .set("limits", to_value(uses))
      .set("binds", sentences_value(binds))
      .set("learning_rate", sentences_value(rate_sentences(plan)))
      .set("market", sentences_value(market_sentences(plan, now)))
      .set("sensitivity", to_value(sensitivities))
      .set("weakest_assumption", weakest.empty() ? Value() : Value(weakest));
  terminal.result(document);

  terminal.say(fmt::format("{}  {}  priced by the {}", plan.job, plan.model.source, priced_by));
  terminal.say("");
  say_tables(terminal, plan_tables({ranked}, nullptr, table_width()));
  terminal.say(format_table(term_rows(now)));
  terminal.say(format_table(run_rows(now)));
  terminal.say(format_table(limit_rows(uses)));
  for (const std::string& line : binds) terminal.say("binds     " + line);
  for (const std::string& line : rate_sentences(plan)) terminal.say("rate      " + line);
  for (const std::string& line : market_sentences(plan, now)) terminal.say("market    " + line);
  terminal.say("");
  terminal.say(format_table(sensitivity_rows(now, sensitivities)));
  for (const std::string& line : now.assumptions) terminal.say("assumes   " + line);
  if (!weakest.empty()) terminal.say("weakest   " + weakest);
  if (now.watermark > 0) {
    terminal.say(fmt::format("evidence  measurements up to {} of the database", now.watermark));
  }
  if (!fits) {
    terminal.say(fmt::format("does not fit: {} needed, {} has {}", uses.front().used_text,
                             plan.cluster.instance.node.device.name, uses.front().limit_text));
    return kDoesNotFit;
  }
  terminal.say("next      " + next_line(pricer, path));
  return 0;
}

}  // namespace

void add_explain(CLI::App& app, Session& session) {
  auto path = std::make_shared<std::string>();
  CLI::App* verb = app.add_subcommand(
      "explain", "What binds a saved plan, and what it takes if an assumption is off");
  verb->footer(
      "The plan is predicted again with what the database holds now; each assumption is moved by\n"
      "10 % down and up and the plan predicted once more.\n"
      "Examples:\n  pluto-plan explain plan.json\n  pluto-plan explain plan.json --json");
  verb->add_option("plan", *path, "Plan file written by search")->required();
  verb->callback([&session, path] {
    session.action = [&session, path] { return explain_plan(session, *path); };
  });
}

}  // namespace pluto
