// validate: predictions against published measurements, family by family.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>

#include "base/statistics.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/run_table.h"
#include "costmodel/validation.h"

namespace pluto {

namespace {

struct ValidateOptions {
  std::vector<std::string> families;
  int worst = 10;
  bool end_to_end = false;
};

using Line = std::vector<std::string>;

/// A row and how far its prediction is off.
struct Miss {
  const ValidatedFamily* family = nullptr;
  const ValidatedRow* row = nullptr;
  double error = 0;
};

std::string percent(double value) { return fmt::format("{:.1f} %", 100 * value); }

Line line_of(const std::string& name, const StepErrors& errors) {
  return {name,
          std::to_string(errors.relative.size()),
          percent(errors.median),
          percent(errors.p90),
          fmt::format("{:+.1f} %", 100 * errors.bias),
          fmt::format("{:.0f} %", 100 * errors.coverage)};
}

Value value_of(const StepErrors& errors) {
  Value value = Value::object();
  value.set("steps", static_cast<std::int64_t>(errors.relative.size()))
      .set("median", errors.median)
      .set("p90", errors.p90)
      .set("bias", errors.bias)
      .set("coverage", errors.coverage);
  return value;
}

Value value_of(const MemoryCheck& check) {
  Value value = Value::object();
  value.set("stated", static_cast<std::int64_t>(check.errors.size()))
      .set("median", check.errors.empty() ? Value() : Value(median(check.errors)))
      .set("ran", check.ran)
      .set("ran_but_called_too_large", check.refused)
      .set("out_of_memory", check.failed)
      .set("out_of_memory_but_allowed", check.allowed);
  return value;
}

bool is_part(const ValidatedFamily& one) {
  return one.family.kind == ValidationFamily::Kind::kPart;
}

/// Largest errors first, one of rows that err alike.
std::vector<Miss> worst_of(const std::vector<ValidatedFamily>& all, std::size_t most) {
  std::vector<Miss> misses, kept;
  const bool steps = !std::ranges::all_of(all, is_part);  // parts only where nothing else is asked
  for (const ValidatedFamily& one : all) {
    if (steps && is_part(one)) continue;
    for (const ValidatedRow& row : one.rows) {
      if (row.step) misses.push_back({&one, &row, row.step->predicted / row.step->measured - 1});
    }
  }
  std::ranges::sort(misses, std::greater{},
                    [](const Miss& miss) { return std::abs(std::log1p(miss.error)); });
  for (const Miss& miss : misses) {
    if (kept.size() == most) break;
    const bool seen = std::ranges::any_of(kept, [&](const Miss& other) {
      return miss.family == other.family && miss.row->alike == other.row->alike;
    });
    if (!seen) kept.push_back(miss);
  }
  return kept;
}

/// Collectives and operators, whose times are not steps.
void say_parts(Terminal& terminal, const std::vector<ValidatedFamily>& all) {
  std::vector<Line> lines = {{"parts of a step", "rows", "median", "p90", "bias", "in p10..p90"}};
  for (const ValidatedFamily& one : all) {
    if (is_part(one)) lines.push_back(line_of(one.family.name, errors_of(one.rows, false)));
  }
  if (lines.size() == 1) return;
  terminal.say("");
  terminal.say(format_table(lines));
  terminal.say(
      "by shipped constants, which were fitted to these rows (whole models apart); "
      "bench/fit_efficiency and\nbench/validate_collectives leave devices and systems out");
}

void say_errors(Terminal& terminal, const std::vector<ValidatedFamily>& all,
                const std::vector<ValidatedRow>& pooled) {
  std::vector<Line> lines = {{"family", "steps", "median", "p90", "bias", "in p10..p90", "held out",
                              "p90", "tau", "regret", "worst"}};
  for (const ValidatedFamily& one : all) {
    if (is_part(one)) continue;
    const StepErrors errors = errors_of(one.rows, false);
    if (errors.relative.empty()) continue;
    Line line = line_of(one.family.name, errors);
    const StepErrors held_out = errors_of(one.rows, true);
    line.insert(line.end(), {percent(held_out.median), percent(held_out.p90)});
    if (one.ranking.groups > 0) {
      line.insert(line.end(),
                  {fmt::format("{:.2f}", one.ranking.tau), percent(one.ranking.mean_regret),
                   percent(one.ranking.worst_regret)});
    }
    line.resize(lines.front().size(), "-");
    lines.push_back(line);
  }
  const StepErrors errors = errors_of(pooled, false);
  if (errors.relative.empty()) return;
  Line last = line_of("all", errors);
  const StepErrors held_out = errors_of(pooled, true);
  last.insert(last.end(), {percent(held_out.median), percent(held_out.p90)});
  last.resize(lines.front().size(), "");
  lines.push_back(last);
  terminal.say(format_table(lines));
  terminal.say(
      "errors are |predicted / measured - 1| of the step; held out: by constants that never saw "
      "the\nfamily (transformers) or the row; tau, regret: ranking of plans of one model, cluster "
      "and batch, and\nwhat choosing the first costs");
}

/// Exposed communication and memory, of the families that state them.
void say_terms(Terminal& terminal, const std::vector<ValidatedFamily>& all) {
  for (const ValidatedFamily& one : all) {
    const std::vector<double> comm = comm_errors(one.rows);
    if (comm.empty()) continue;
    terminal.say(fmt::format(
        "\nexposed communication   {}: {} stated, median error {} of the step, p90 {}",
        one.family.name, comm.size(), percent(median(comm)), percent(quantile(comm, 0.9))));
  }
  for (const ValidatedFamily& one : all) {
    const MemoryCheck memory = check_memory(one.rows);
    if (memory.ran + memory.failed == 0) continue;
    terminal.say(fmt::format(
        "memory   {}: {} stated{}; {} of {} that ran are called too large; {} of {} that ran out "
        "of memory are allowed",
        one.family.name, memory.errors.size(),
        memory.errors.empty() ? ""
                              : fmt::format(", median error {}", percent(median(memory.errors))),
        memory.refused, memory.ran, memory.allowed, memory.failed));
  }
}

void say_worst(Terminal& terminal, const std::vector<ValidatedFamily>& all, std::size_t most) {
  std::vector<Line> lines = {{"error", "where", "what ran", "predicted", "note"}};
  for (const Miss& miss : worst_of(all, most)) {
    Line shares;
    for (const auto& [term, share] : miss.row->terms) {
      if (share >= 0.05) shares.push_back(fmt::format("{} {:.0f} %", term, 100 * share));
    }
    lines.push_back({fmt::format("{:+.1f} %", 100 * miss.error),
                     fmt::format("{}:{}", miss.family->family.name, miss.row->line), miss.row->what,
                     fmt::format("{}", fmt::join(shares, ", ")), miss.row->note});
  }
  if (lines.size() == 1) return;
  terminal.say("");
  terminal.say(format_table(lines));
}

Value document_of(const std::vector<ValidatedFamily>& all,
                  const std::vector<ValidatedRow>& pooled) {
  Value list = Value::array();
  for (const ValidatedFamily& one : all) {
    Value value = Value::object();
    const std::vector<double> comm = comm_errors(one.rows);
    value.set("family", one.family.name)
        .set("shipped", value_of(errors_of(one.rows, false)))
        .set("held_out", value_of(errors_of(one.rows, true)))
        .set("groups", one.ranking.groups)
        .set("kendall_tau", one.ranking.tau)
        .set("mean_regret", one.ranking.mean_regret)
        .set("worst_regret", one.ranking.worst_regret)
        .set("exposed_comm_median", comm.empty() ? Value() : Value(median(comm)))
        .set("memory", value_of(check_memory(one.rows)));
    list.push_back(std::move(value));
  }
  Value document = Value::object();
  document.set("schema", "pluto.validate/1")
      .set("families", std::move(list))
      .set("all", value_of(errors_of(pooled, false)))
      .set("all_held_out", value_of(errors_of(pooled, true)))
      .set("memory", value_of(check_memory(pooled)));
  return document;
}

Result<int> validate_tables(Session& session, const ValidateOptions& options) {
  std::vector<std::string> wanted = options.families;
  if (wanted.empty()) {
    for (const ValidationFamily& family : validation_families()) wanted.push_back(family.name);
  }
  Validation validation(session.data_folder);
  std::vector<ValidatedFamily> all;
  std::vector<ValidatedRow> pooled;
  for (const std::string& name : wanted) {
    PLUTO_ASSIGN(auto family, validation.validate(name));
    if (!is_part(family)) {
      pooled.insert(pooled.end(), family.rows.begin(), family.rows.end());
    }
    all.push_back(std::move(family));
  }
  Terminal& terminal = *session.terminal;
  say_errors(terminal, all, pooled);
  say_parts(terminal, all);
  say_terms(terminal, all);
  say_worst(terminal, all, static_cast<std::size_t>(options.worst));
  terminal.result(document_of(all, pooled));
  return 0;
}

/// Whole runs: time to the target and price.
Result<int> validate_end_to_end(Session& session, const ValidateOptions& options) {
  if (!options.families.empty()) {
    return invalid_input(fmt::format("{}: --end-to-end reads its own tables", options.families[0]),
                         "leave the families out");
  }
  PLUTO_ASSIGN(const auto families, validate_runs(session.data_folder));
  Terminal& terminal = *session.terminal;
  terminal.say(format_table(run_error_rows(families)));
  terminal.say(fmt::format(
      "errors are |predicted / reported - 1| of the time to the target, and of its price at the "
      "hourly price\nof the row. Epochs are those the row states: steps, volumes and sums are "
      "tested, not convergence; nothing "
      "was fitted\nto these rows but the spread of systems not seen, {:.1f} %, by the even lines "
      "of "
      "mlperf_runs",
      100 * kUnseenSystem));
  for (const std::string& line : unpredicted_lines(families)) terminal.say(line);
  terminal.say("");
  terminal.say(format_table(worst_run_rows(families, static_cast<std::size_t>(options.worst))));
  Value document = Value::object();
  document.set("schema", "pluto.validate_runs/1").set("families", run_errors_value(families));
  terminal.result(document);
  return 0;
}

std::string families_for_help() {
  std::string text = "Families:\n";
  for (const ValidationFamily& family : validation_families()) {
    text += fmt::format("  {:<16} {}\n", family.name, family.about);
  }
  return text;
}

}  // namespace

void add_validate(CLI::App& app, Session& session) {
  auto options = std::make_shared<ValidateOptions>();
  CLI::App* verb =
      app.add_subcommand("validate", "How far predictions are off published measurements");
  verb->footer(families_for_help() +
               "Examples:\n  pluto-plan validate\n  pluto-plan validate megatron --worst 3\n"
               "  pluto-plan validate own_runs.csv\n  pluto-plan validate --end-to-end");
  verb->add_option("families", options->families,
                   "Only these, or a .csv in the form of the training tables (default: all)");
  verb->add_option("--worst", options->worst, "Rows to show with the largest errors")
      ->check(CLI::NonNegativeNumber);
  verb->add_flag("--end-to-end", options->end_to_end,
                 "Whole runs of DAWNBench and MLPerf instead: time to the target and price");
  verb->callback([&session, options] {
    session.action = [&session, options] {
      return options->end_to_end ? validate_end_to_end(session, *options)
                                 : validate_tables(session, *options);
    };
  });
}

}  // namespace pluto
