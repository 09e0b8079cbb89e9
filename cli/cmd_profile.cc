// profile: measure on this machine what a job needs and the database lacks.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <limits>
#include <optional>

#include "cli/commands.h"
#include "cli/launcher.h"
#include "cli/workflow.h"

namespace pluto {

namespace {

struct ProfileOptions {
  std::string job, max_time = "3m";
  std::optional<double> probe_budget;
};

/// How long measuring may take for the probe budget; for ever without one.
Result<Seconds> paid_time(const ProfileOptions& options, DollarsPerHour price) {
  constexpr double kEver = std::numeric_limits<double>::infinity();
  if (!options.probe_budget) return Seconds(kEver);
  if (!(price.value() > 0)) {
    return invalid_input("--probe-budget: this machine is free, so the budget limits nothing",
                         "use --max-time, or give the job cluster.local_price_per_hour");
  }
  return Seconds(*options.probe_budget / price.value() * 3600);
}

Result<int> profile(Session& session, const ProfileOptions& options) {
  PLUTO_ASSIGN_AT("--max-time", Seconds max_time, parse_duration(options.max_time));
  PLUTO_ASSIGN(const JobContext context, load_job(options.job));
  PLUTO_ASSIGN(const Host host, describe_host(context.job, session.data_folder));
  PLUTO_ASSIGN(const Seconds paid, paid_time(options, host.instance.price));
  const bool budget_binds = paid < max_time;
  if (budget_binds) max_time = paid;
  PLUTO_TRY(
      open_store(session));  // a database that cannot be used should be known before measuring
  PLUTO_ASSIGN(const ProfileTotals totals,
               profile_host(session, options.job, context, host, max_time));
  Terminal& terminal = *session.terminal;
  if (totals.measured == 0 && totals.complete) {
    terminal.say(
        fmt::format("nothing to measure: the database has all {} measurements this job needs",
                    totals.already_known));
  } else {
    terminal.say(fmt::format("measured {}, {} were known, database {}", totals.measured,
                             totals.already_known, session.database));
  }
  if (!totals.complete)
    terminal.say(fmt::format("{} ended it; the same command measures what is left",
                             budget_binds ? fmt::format("--probe-budget {}", *options.probe_budget)
                                          : "--max-time " + options.max_time));
  terminal.say(fmt::format("next  pluto-plan search {} -o plan.json", options.job));
  Value document = Value::object();
  document.set("schema", "pluto.profile/1")
      .set("measured", totals.measured)
      .set("already_known", totals.already_known);
  document.set("complete", totals.complete).set("database", session.database);
  terminal.result(document);
  return 0;
}

}  // namespace

void add_profile(CLI::App& app, Session& session) {
  auto options = std::make_shared<ProfileOptions>();
  CLI::App* verb = app.add_subcommand(
      "profile", "Measure what a job needs and the database lacks, on this machine");
  verb->footer(
      "Examples:\n  pluto-plan profile job.yaml\n  pluto-plan profile job.yaml --max-time 30s");
  verb->add_option("job", options->job, "Job file (YAML or JSON)")->required();
  verb->add_option("--max-time", options->max_time,
                   "Stop measuring after this long; what was measured stays");
  verb->add_option("--probe-budget", options->probe_budget,
                   "Stop when so many US dollars are spent, at cluster.local_price_per_hour")
      ->check(CLI::PositiveNumber);
  verb->callback([&session, options] {
    session.action = [&session, options] { return profile(session, *options); };
  });
}

}  // namespace pluto
