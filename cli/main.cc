#include <CLI/CLI.hpp>

#include "cli/commands.h"
#include "cli/environment.h"
#include "cli/parse.h"
#include "cli/plan_commands.h"

int main(int argc, char** argv) {
  using namespace pluto;
  Session session;
  CLI::App app("Predicts, plans, runs and checks distributed training.", "pluto-plan");
  app.footer(top_level_examples());
  app.require_subcommand(1);
  app.fallthrough();
  app.set_version_flag("--version", PLUTO_VERSION);
  app.add_flag("--json", session.json, "One JSON document on stdout instead of tables");
  app.add_flag("-q,--quiet", session.quiet, "No remarks and no progress on stderr");
  app.add_option("--db", session.database,
                 "Profile database (default: $PLUTO_DB or the user's data folder)");
  app.add_option("--data", session.data_folder,
                 "Folder of catalog and efficiency tables (default: $PLUTO_DATA or as installed)");
  add_doctor(app, session);
  add_inspect(app, session);
  add_profile(app, session);
  add_predict(app, session);
  add_search(app, session);
  add_explain(app, session);
  add_diff(app, session);
  add_export(app, session);
  add_run(app, session);
  add_report(app, session);
  add_db(app, session);
  add_catalog(app, session);
  add_calibrate(app, session);
  add_fit(app, session);
  add_validate(app, session);
  add_worker(app, session);

  const Result<ParseOutcome> parsed = parse_command_line(app, argc, argv);
  session.terminal = std::make_unique<Terminal>(session.json, session.quiet);
  if (!parsed.ok()) {
    session.terminal->error(parsed.error());
    return exit_code(parsed.error().code);
  }
  if (*parsed == ParseOutcome::kPrinted) return 0;
  auto outcome = resolve_environment(session, argv[0]);
  if (!outcome.ok()) {
    session.terminal->error(outcome.error());
    return exit_code(outcome.error().code);
  }
  const Result<int> done = session.action();
  if (!done.ok()) {
    session.terminal->error(done.error());
    return exit_code(done.error().code);
  }
  return *done;
}
