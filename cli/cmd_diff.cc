// diff: what two saved plans decide otherwise, and what that changes.

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "base/text.h"
#include "cli/plan_commands.h"
#include "cli/plan_diff.h"
#include "cli/price_plan.h"

namespace pluto {

namespace {

struct DiffOptions {
  std::string first, second;
};

Result<int> diff_plans(Session& session, const DiffOptions& options) {
  PLUTO_ASSIGN(const PlanPricer first, PlanPricer::open(session, options.first));
  PLUTO_ASSIGN(const PlanPricer second, PlanPricer::open(session, options.second));
  PLUTO_ASSIGN_AT(options.first, const Prediction before, first.predict());
  PLUTO_ASSIGN_AT(options.second, const Prediction after, second.predict());
  const auto differences = plan_differences(first.plan(), second.plan());
  const auto changes = prediction_changes(before, after);
  Terminal& terminal = *session.terminal;
  Value document = Value::object();
  document.set("schema", "pluto.diff/1")
      .set("equal", differences.empty())
      .set("differences", to_value(differences))
      .set("predicted", to_value(changes));
  terminal.result(document);
  if (differences.empty()) {
    terminal.say("the plans are equal");
    return 0;
  }
  terminal.say(format_table(difference_rows(differences, options.first, options.second)));
  terminal.say(format_table(change_rows(changes, options.first, options.second)));
  if (first.closed_form() != second.closed_form()) {
    terminal.say(
        fmt::format("{} is priced by the closed form of transformers, the other by the "
                    "simulator: their terms have different names",
                    first.closed_form() ? options.first : options.second));
  }
  terminal.say("next      pluto-plan explain " + options.second);
  return 0;
}

}  // namespace

void add_diff(CLI::App& app, Session& session) {
  auto options = std::make_shared<DiffOptions>();
  CLI::App* verb =
      app.add_subcommand("diff", "What two saved plans decide otherwise, and what that changes");
  verb->footer(
      "Examples:\n  pluto-plan diff cheap.json fast.json\n"
      "  pluto-plan diff cheap.json fast.json --json");
  verb->add_option("first", options->first, "Plan file written by search")->required();
  verb->add_option("second", options->second, "Another one")->required();
  verb->callback([&session, options] {
    session.action = [&session, options] { return diff_plans(session, *options); };
  });
}

}  // namespace pluto
