// db: what the profile database holds.

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "base/fingerprint.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/workflow.h"

namespace pluto {

namespace {

struct DbOptions {
  std::string before, device, output = "-";
};

Result<int> summary(Session& session) {
  PLUTO_ASSIGN(const auto store, open_store(session));
  PLUTO_ASSIGN(const StoreSummary s, store->summary());
  Terminal& terminal = *session.terminal;
  terminal.say(fmt::format("{}  schema {}  journal {}", s.path, s.schema_version, s.journal_mode));
  terminal.say(format_table({{"kind", "rows"},
                             {"operators", std::to_string(s.operators)},
                             {"collectives", std::to_string(s.collectives)},
                             {"input", std::to_string(s.inputs)},
                             {"processes", std::to_string(s.processes)},
                             {"steps", std::to_string(s.steps)},
                             {"convergence", std::to_string(s.convergence)},
                             {"transformer steps", std::to_string(s.transformer_steps)},
                             {"plans", std::to_string(s.plans)},
                             {"runs", std::to_string(s.runs)}}));
  Value devices = Value::array();
  for (const std::string& device : s.devices) {
    terminal.say("device  " + device);
    devices.push_back(device);
  }
  Value document = Value::object();
  document.set("schema", "pluto.db/1")
      .set("path", s.path)
      .set("schema_version", s.schema_version)
      .set("journal_mode", s.journal_mode);
  document.set("operators", s.operators)
      .set("collectives", s.collectives)
      .set("inputs", s.inputs)
      .set("processes", s.processes);
  document.set("steps", s.steps)
      .set("convergence", s.convergence)
      .set("transformer_steps", s.transformer_steps)
      .set("plans", s.plans)
      .set("runs", s.runs)
      .set("devices", std::move(devices));
  terminal.result(document);
  return 0;
}

Result<int> runs(Session& session) {
  PLUTO_ASSIGN(const auto store, open_store(session));
  PLUTO_ASSIGN(const std::vector<RunRecord> records, store->runs());
  std::vector<std::vector<std::string>> rows = {{"run", "plan", "started", "state", "report"}};
  Value list = Value::array();
  for (const RunRecord& run : records) {
    rows.push_back(
        {std::to_string(run.id), to_hex(run.plan), run.started_at, run.state, run.report_path});
    Value one = Value::object();
    one.set("id", run.id)
        .set("plan", to_hex(run.plan))
        .set("started_at", run.started_at)
        .set("state", run.state)
        .set("report", run.report_path);
    list.push_back(std::move(one));
  }
  session.terminal->say(format_table(rows));
  Value document = Value::object();
  document.set("schema", "pluto.db.runs/1").set("runs", std::move(list));
  session.terminal->result(document);
  return 0;
}

Result<int> prune(Session& session, const DbOptions& options) {
  if (options.before.empty() && options.device.empty()) {
    return invalid_input("db prune: nothing says what to remove",
                         "give --before 2026-01-01 or --device FINGERPRINT");
  }
  PLUTO_ASSIGN(const auto store, open_store(session));
  PLUTO_ASSIGN(const std::int64_t removed,
               store->prune(options.before.empty() ? std::nullopt : std::optional(options.before),
                            options.device.empty() ? std::nullopt : std::optional(options.device)));
  session.terminal->say(fmt::format("removed {} measurements", removed));
  Value document = Value::object();
  document.set("schema", "pluto.db.prune/1").set("removed", removed);
  session.terminal->result(document);
  return 0;
}

Result<int> export_all(Session& session, const DbOptions& options) {
  PLUTO_ASSIGN(const auto store, open_store(session));
  PLUTO_ASSIGN(const auto all, store->measurements(std::nullopt));
  Value list = Value::array();
  for (const StoredMeasurement& one : all) {
    Value value = to_value(one.measurement);
    list.push_back(std::move(value));
  }
  Value document = Value::object();
  document.set("schema", "pluto.measurements/1").set("measurements", std::move(list));
  if (session.json) {
    session.terminal->result(document);
    return 0;
  }
  if (options.output == "-") {
    session.terminal->say(to_json(document));
    return 0;
  }
  PLUTO_TRY(write_file(options.output, to_json(document) + "\n"));
  session.terminal->say(fmt::format("wrote {} measurements to {}", all.size(), options.output));
  return 0;
}

}  // namespace

void add_db(CLI::App& app, Session& session) {
  auto options = std::make_shared<DbOptions>();
  CLI::App* verb = app.add_subcommand("db", "The profile database: summary, runs, export, prune");
  verb->footer(
      "Examples:\n  pluto-plan db\n  pluto-plan db runs\n  pluto-plan db export -o "
      "measurements.json\n  pluto-plan db prune --before 2026-01-01");
  verb->require_subcommand(0, 1);
  CLI::App* list_runs = verb->add_subcommand("runs", "Runs, newest last");
  CLI::App* dump = verb->add_subcommand("export", "All measurements as JSON");
  dump->add_option("-o,--output", options->output, "File (- is standard output)");
  CLI::App* remove = verb->add_subcommand("prune", "Remove measurements");
  remove->add_option("--before", options->before, "Taken before this date (ISO 8601, UTC)");
  remove->add_option("--device", options->device, "Of this device fingerprint");
  verb->callback([=, &session] {
    session.action = [=, &session]() -> Result<int> {
      if (list_runs->parsed()) return runs(session);
      if (dump->parsed()) return export_all(session, *options);
      if (remove->parsed()) return prune(session, *options);
      return summary(session);
    };
  });
}

}  // namespace pluto
