#include "cli/run_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace pluto {

namespace {

using Scored = std::vector<std::optional<ScoredStep>>;

StepErrors errors_of(const Scored& scored) {
  std::vector<ScoredStep> known;
  for (const auto& one : scored) {
    if (one) known.push_back(*one);
  }
  return summarize_errors(known);
}

std::string percent(double value) { return fmt::format("{:.1f} %", 100 * value); }

void add_errors(std::vector<std::string>& row, const StepErrors& errors) {
  if (errors.relative.empty()) {
    row.insert(row.end(), 4, "-");
    return;
  }
  row.insert(row.end(), {percent(errors.median), percent(errors.p90),
                         fmt::format("{:+.1f} %", 100 * errors.bias),
                         fmt::format("{:.0f} %", 100 * errors.coverage)});
}

Value value_of(const StepErrors& errors) {
  Value value = Value::object();
  value.set("runs", static_cast<std::int64_t>(errors.relative.size()))
      .set("median", errors.median)
      .set("p90", errors.p90)
      .set("bias", errors.bias)
      .set("coverage", errors.coverage);
  return value;
}

}  // namespace

std::vector<std::vector<std::string>> run_error_rows(const std::vector<ValidatedRuns>& families) {
  std::vector<std::vector<std::string>> rows = {{"family", "runs", "predicted", "time", "p90",
                                                 "bias", "in p10..p90", "price", "p90", "bias",
                                                 "in p10..p90"}};
  for (const ValidatedRuns& one : families) {
    const StepErrors times = errors_of(one.times);
    rows.push_back(
        {one.family, std::to_string(one.runs.size()), std::to_string(times.relative.size())});
    add_errors(rows.back(), times);
    add_errors(rows.back(), errors_of(one.prices));
  }
  return rows;
}

namespace {

std::string said_of(const ReportedRun& run) {
  if (run.assumed.empty()) return run.note;
  return "assumed: " + run.assumed + (run.note.empty() ? "" : "; " + run.note);
}

}  // namespace

std::vector<std::vector<std::string>> worst_run_rows(const std::vector<ValidatedRuns>& families,
                                                     std::size_t most) {
  struct Miss {
    const ValidatedRuns* family = nullptr;
    std::size_t run = 0;
    double error = 0;
  };
  std::vector<Miss> misses;
  for (const ValidatedRuns& one : families) {
    for (std::size_t i = 0; i < one.runs.size(); ++i) {
      if (one.times[i]) {
        misses.push_back({&one, i, one.times[i]->predicted / one.times[i]->measured - 1});
      }
    }
  }
  std::ranges::sort(misses, std::greater{},
                    [](const Miss& miss) { return std::abs(std::log1p(miss.error)); });
  if (misses.size() > most) misses.resize(most);
  std::vector<std::vector<std::string>> rows = {
      {"error", "where", "run", "GPUs", "predicted", "reported", "note"}};
  for (const Miss& miss : misses) {
    const ReportedRun& run = miss.family->runs[miss.run];
    rows.push_back({fmt::format("{:+.1f} %", 100 * miss.error),
                    fmt::format("{}:{}", miss.family->family, run.line), run.name,
                    fmt::format("{} {}", run.row.gpus, run.row.machine),
                    to_text(Seconds(miss.family->times[miss.run]->predicted)), to_text(run.time),
                    said_of(run)});
  }
  return rows;
}

std::vector<std::string> unpredicted_lines(const std::vector<ValidatedRuns>& families) {
  std::vector<std::string> lines;
  for (const ValidatedRuns& one : families) {
    std::map<std::string, int> reasons;
    int count = 0;
    for (const ReportedRun& run : one.runs) {
      if (run.unpredictable.empty()) continue;
      ++reasons[run.unpredictable];
      ++count;
    }
    if (count == 0) continue;
    std::string text;
    for (const auto& [reason, times] : reasons) {
      text += fmt::format("{}{} {}", text.empty() ? "" : "; ", times, reason);
    }
    lines.push_back(fmt::format("{}: {} of {} are not predicted: {}", one.family, count,
                                one.runs.size(), text));
  }
  return lines;
}

Value run_errors_value(const std::vector<ValidatedRuns>& families) {
  Value list = Value::array();
  for (const ValidatedRuns& one : families) {
    Value runs = Value::array();
    for (std::size_t i = 0; i < one.runs.size(); ++i) {
      Value run = Value::object();
      run.set("run", one.runs[i].name)
          .set("line", one.runs[i].line)
          .set("reported_s", one.runs[i].time.value());
      run.set("predicted_s", one.times[i] ? Value(one.times[i]->predicted) : Value());
      run.set("spread", one.times[i] ? Value(one.times[i]->spread) : Value());
      run.set("reported_usd", one.runs[i].price ? Value(one.runs[i].price->value()) : Value());
      run.set("predicted_usd", one.prices[i] ? Value(one.prices[i]->predicted) : Value());
      if (!one.runs[i].assumed.empty()) run.set("assumed", one.runs[i].assumed);
      if (!one.runs[i].unpredictable.empty()) run.set("why_not", one.runs[i].unpredictable);
      runs.push_back(std::move(run));
    }
    Value value = Value::object();
    value.set("family", one.family)
        .set("time", value_of(errors_of(one.times)))
        .set("price", value_of(errors_of(one.prices)))
        .set("runs", std::move(runs));
    list.push_back(std::move(value));
  }
  return list;
}

}  // namespace pluto
