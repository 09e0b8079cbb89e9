// fit: how the samples to a target grow with the global batch, from runs at several.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>

#include "base/statistics.h"
#include "base/text.h"
#include "cli/commands.h"
#include "planner/convergence.h"
#include "planner/convergence_table.h"

namespace pluto {

namespace {

constexpr int kBeyond = 4;  // the table reaches so many times the largest batch

struct FitOptions {
  std::string points;
  std::optional<double> exponent;
};

/// One batch of the table.
struct FitRow {
  std::int64_t batch = 1;
  std::optional<double> measured;
  double law = 0, planned = 0;  ///< by the fitted law; what a plan takes, through the points
  FitRange interval;            ///< of the law
  SamplesEstimate estimate;     ///< against the smallest measured batch
};

struct FittedPoints {
  std::vector<BatchPoint> points;
  ConvergenceFit fit;
  UnseenErrors unseen;
  std::vector<FitRow> rows;
};

/// Powers of two from the smallest batch to a little beyond the largest, and the measured ones.
std::vector<std::int64_t> batches_of(const std::vector<BatchPoint>& points) {
  std::vector<std::int64_t> batches;
  for (const BatchPoint& point : points) batches.push_back(point.batch);
  const std::int64_t last = points.back().batch * kBeyond;
  for (std::int64_t batch = 1; batch <= last; batch *= 2) {
    if (batch >= points.front().batch) batches.push_back(batch);
  }
  std::ranges::sort(batches);
  const auto repeated = std::ranges::unique(batches);
  batches.erase(repeated.begin(), repeated.end());
  return batches;
}

Result<FittedPoints> fit_points(const Session& session, const FitOptions& options) {
  PLUTO_ASSIGN(const auto table, load_convergence_table(session.data_folder + "/convergence.json"));
  FittedPoints fitted;
  PLUTO_ASSIGN(fitted.points, read_convergence_points(options.points));
  ConvergenceFitOptions fit = table.fit;
  fit.exponent = options.exponent;
  PLUTO_ASSIGN_AT(options.points, fitted.fit, fit_convergence(fitted.points, fit));
  fitted.unseen = unseen_errors(fitted.points, fit);
  PLUTO_ASSIGN(SamplesLaw law, law_of_points(fitted.points, table, options.points));
  law.critical_batch = fitted.fit.critical_batch;
  law.exponent = fitted.fit.exponent;
  const BatchPoint& first = fitted.points.front();
  for (const std::int64_t batch : batches_of(fitted.points)) {
    const auto b = static_cast<double>(batch);
    FitRow row;
    row.batch = batch;
    const auto at = std::ranges::find(fitted.points, batch, &BatchPoint::batch);
    if (at != fitted.points.end()) row.measured = at->samples;
    row.law = fitted_samples(fitted.fit, b);
    row.interval = samples_interval(fitted.fit, b);
    row.estimate = estimate_samples(law, b, static_cast<double>(first.batch));
    row.planned = first.samples * row.estimate.ratio;
    fitted.rows.push_back(row);
  }
  return fitted;
}

double typical(const std::vector<double>& logs) {
  std::vector<double> sizes;
  for (const double log : logs) sizes.push_back(std::abs(std::expm1(log)));
  return median(sizes);
}

std::string number(double value) { return fmt::format("{:.4g}", value); }
std::string number(const std::optional<double>& value) {
  return value ? number(*value) : "not bounded";
}

/// What to put into a job, with the file and without it.
std::string job_lines(const FittedPoints& fitted, const std::string& path) {
  return fmt::format(
      "convergence: {{source: {}}}\n# or, without the file:\nconvergence: {{critical_batch: "
      "{:.4g}, "
      "exponent: {:.3g}}}",
      path, fitted.fit.critical_batch, fitted.fit.exponent);
}

Value interval_value(double value, const FitRange& interval) {
  Value out = Value::object();
  out.set("value", value).set("p5", Value::of(interval.low)).set("p95", Value::of(interval.high));
  return out;
}

Value fit_value(const FittedPoints& fitted, const FitOptions& options) {
  const ConvergenceFit& fit = fitted.fit;
  const auto errors = [](const std::vector<double>& logs) {
    Value array = Value::array();
    for (const double log : logs) array.push_back(std::expm1(log));
    return array;
  };
  Value unseen = Value::object();
  unseen.set("in_sample_rms", fit.rms)
      .set("left_out", errors(fitted.unseen.left_out))
      .set("interpolated", errors(fitted.unseen.interpolated))
      .set("next_batch", errors(fitted.unseen.next))
      .set("four_times", errors(fitted.unseen.far));
  Value rows = Value::array();
  for (const FitRow& row : fitted.rows) {
    Value one = Value::object();
    one.set("batch", row.batch)
        .set("measured", Value::of(row.measured))
        .set("law", interval_value(row.law, row.interval))
        .set("planned", row.planned)
        .set("spread", row.estimate.spread)
        .set("evidence", to_text(row.estimate.evidence));
    rows.push_back(std::move(one));
  }
  Value document = Value::object();
  document.set("schema", "pluto.fit/1")
      .set("points", fitted.points.size())
      .set("least_samples", interval_value(fit.least_samples, fit.least_samples_range))
      .set("critical_batch", interval_value(fit.critical_batch, fit.critical_batch_range))
      .set("exponent", interval_value(fit.exponent, fit.exponent_range))
      .set("errors", std::move(unseen))
      .set("batches", std::move(rows))
      .set("job", job_lines(fitted, options.points));
  return document;
}

std::string error_text(const FittedPoints& fitted) {
  std::string text = fmt::format("errors    in sample {:.1f} %", 100 * fitted.fit.rms);
  const auto add = [&](const char* what, const std::vector<double>& logs) {
    if (!logs.empty()) text += fmt::format(", {} {:.1f} %", what, 100 * typical(logs));
  };
  add("each left out", fitted.unseen.left_out);
  add("between neighbours", fitted.unseen.interpolated);
  add("largest from the others", fitted.unseen.next);
  add("largest from a quarter of it", fitted.unseen.far);
  return text;
}

void say_fit(Terminal& terminal, const FittedPoints& fitted, const FitOptions& options) {
  const ConvergenceFit& fit = fitted.fit;
  terminal.say(fmt::format("{}: {} batches, E(B) = Emin (1 + (B/Bc)^p)\n", options.points,
                           fitted.points.size()));
  std::vector<std::vector<std::string>> constants = {{"", "fitted", "p5", "p95"}};
  const auto add = [&](const char* name, double value, const FitRange& interval) {
    constants.push_back({name, number(value), number(interval.low), number(interval.high)});
  };
  add("Emin", fit.least_samples, fit.least_samples_range);
  add("Bc", fit.critical_batch, fit.critical_batch_range);
  add("p", fit.exponent, fit.exponent_range);
  terminal.say(format_table(constants));
  terminal.say(error_text(fitted) + "\n");
  std::vector<std::vector<std::string>> rows = {
      {"batch", "measured", "law", "p5", "p95", "planned", "spread", "evidence"}};
  for (const FitRow& row : fitted.rows) {
    rows.push_back({std::to_string(row.batch), row.measured ? number(*row.measured) : "-",
                    number(row.law), number(row.interval.low), number(row.interval.high),
                    number(row.planned), fmt::format("{:.0f} %", 100 * row.estimate.spread),
                    to_text(row.estimate.evidence)});
  }
  terminal.say(format_table(rows));
  terminal.say("planned: through the points, by the law beyond them; spread: of one run");
  if (!fit.critical_batch_range.high) {
    terminal.say("the batches are too small to tell Bc: a run at a larger one is worth most");
  }
  terminal.say("\n" + job_lines(fitted, options.points));
}

Result<int> fit(Session& session, const FitOptions& options) {
  PLUTO_ASSIGN(const FittedPoints fitted, fit_points(session, options));
  session.terminal->result(fit_value(fitted, options));
  say_fit(*session.terminal, fitted, options);
  return 0;
}

}  // namespace

void add_fit(CLI::App& app, Session& session) {
  auto options = std::make_shared<FitOptions>();
  CLI::App* verb = app.add_subcommand(
      "fit", "How samples to the target grow with the global batch, from runs at several");
  verb->footer(
      "Columns of the file: batch, and samples or epochs to the target; optionally runs (of which\n"
      "the row is the mean) and spread (relative, of one run). Rows of one batch are runs of it.\n"
      "Examples:\n"
      "  pluto-plan fit points.csv\n"
      "  pluto-plan fit points.csv --exponent 1 --json");
  verb->add_option("points", options->points, "Runs to the target (CSV)")->required();
  verb->add_option("--exponent", options->exponent, "Hold p fixed (default: fitted)")
      ->check(CLI::PositiveNumber);
  verb->callback([&session, options] {
    session.action = [&session, options] { return fit(session, *options); };
  });
}

}  // namespace pluto
