// report: predicted against measured, term by term, and both steps as one trace.

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/run_document.h"

namespace pluto {

namespace {

struct ReportOptions {
  std::string run, trace;
};

std::string amount(double value, const std::string& unit) {
  if (unit == "s") return to_text(Seconds(value));
  if (unit == "bytes") return to_text(Bytes(static_cast<std::int64_t>(value)));
  return to_text(Dollars(value));
}

Result<int> report(Session& session, const ReportOptions& options) {
  PLUTO_ASSIGN(const std::string text, read_file(options.run));
  PLUTO_ASSIGN(const RunDocument run, run_from_json(text, options.run));
  Terminal& terminal = *session.terminal;
  const RunReport& r = run.report;
  terminal.say(fmt::format("{}  {} rank{}, batch {}  started {} on {}", run.plan.job,
                           run.plan.layout.ranks(), run.plan.layout.ranks() == 1 ? "" : "s",
                           run.plan.global_batch, run.started_at, run.host));
  terminal.say(fmt::format("steps {} to {} of {}, {} measured in steady state", r.first_step,
                           r.last_step, run.plan.steps, r.overall.step.count));
  terminal.say("");
  std::vector<std::vector<std::string>> rows = {
      {"term", "predicted", "measured", "error", "p10..p90", "evidence"}};
  Value list = Value::array();
  for (const Comparison& line : compare(run)) {
    const auto error = line.error();
    const bool matters =
        error && (line.unit != "s" || line.measured >= 0.02 * r.overall.step.median.value() ||
                  line.term == "step");
    rows.push_back({line.term, amount(line.predicted, line.unit), amount(line.measured, line.unit),
                    matters ? fmt::format("{:+.1f} %", 100 * *error) : "-",
                    line.inside ? (*line.inside ? "inside" : "outside") : "",
                    to_text(line.evidence)});
    Value one = Value::object();
    one.set("term", line.term)
        .set("unit", line.unit)
        .set("predicted", line.predicted)
        .set("measured", line.measured);
    one.set("error", Value::of(error))
        .set("inside_p10_p90", Value::of(line.inside))
        .set("evidence", to_text(line.evidence));
    list.push_back(std::move(one));
  }
  terminal.say(format_table(rows));
  if (r.test_accuracy)
    terminal.say(fmt::format("test accuracy  {:.2f} %   final loss {:.4f}", *r.test_accuracy * 100,
                             r.final_loss));
  Value document = Value::object();
  document.set("schema", "pluto.report/1")
      .set("terms", std::move(list))
      .set("test_accuracy", Value::of(r.test_accuracy));
  if (!options.trace.empty()) {
    PLUTO_TRY(write_file(options.trace, to_chrome_trace({run.predicted_timeline, r.timeline})));
    terminal.say(fmt::format(
        "wrote {}: one step predicted and measured, for https://ui.perfetto.dev", options.trace));
    document.set("trace", options.trace);
  } else {
    terminal.say(
        fmt::format("next  pluto-plan report {} --trace step.json     (both steps in one viewer)",
                    options.run));
  }
  terminal.result(document);
  return 0;
}

}  // namespace

void add_report(CLI::App& app, Session& session) {
  auto options = std::make_shared<ReportOptions>();
  CLI::App* verb = app.add_subcommand("report", "Predicted against measured, term by term");
  verb->footer(
      "Examples:\n  pluto-plan report run.json\n  pluto-plan report run.json --trace step.json");
  verb->add_option("run", options->run, "Report file written by run")->required();
  verb->add_option("--trace", options->trace,
                   "Write a Chrome trace of one step, predicted and measured");
  verb->callback([&session, options] {
    session.action = [&session, options] { return report(session, *options); };
  });
}

}  // namespace pluto
