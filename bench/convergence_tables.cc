#include "bench/convergence_tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/csv.h"
#include "base/document.h"
#include "base/statistics.h"
#include "base/text.h"

namespace pluto::bench {

namespace {

constexpr double kOutlier = 3;
constexpr std::size_t kTrimmed = 5;  // runs from which on the least and the most are dropped

struct Record {
  BatchPoint point;
  double rate = 0;
  std::string source;
};

Record record_of(const CsvTable& table, std::size_t row, bool rate_per_sample) {
  Record record;
  record.point.batch = static_cast<std::int64_t>(*table.number(row, "global_batch_size"));
  record.rate = table.number(row, "base_lr").value_or(0);
  if (rate_per_sample) record.rate *= static_cast<double>(record.point.batch);
  record.source = *table.text(row, "source");
  std::vector<double> runs;
  for (const std::string& run : split(table.text(row, "runs").value_or(""), ' ')) {
    if (const auto number = parse_number(run)) runs.push_back(*number);
  }
  if (runs.size() < 2) {
    record.point.samples = *table.number(row, "mean");
    return record;
  }
  const double middle = median(runs);
  std::erase_if(runs,
                [&](double run) { return run > middle * kOutlier || run < middle / kOutlier; });
  std::ranges::sort(runs);
  if (runs.size() >= kTrimmed) runs = {runs.begin() + 1, runs.end() - 1};
  double sum = 0, squares = 0;
  for (const double run : runs) sum += run;
  const auto count = static_cast<double>(runs.size());
  for (const double run : runs) squares += (run - sum / count) * (run - sum / count);
  record.point.samples = sum / count;
  record.point.runs = static_cast<int>(runs.size());
  record.point.spread = std::sqrt(squares / (count - 1)) / record.point.samples;
  return record;
}

bool of_version(const std::string& versions, const std::string& version) {
  return std::ranges::count(split(versions, ' '), version) > 0;
}

}  // namespace

Result<std::vector<ConvergenceTask>> read_convergence_tasks(const std::string& folder) {
  PLUTO_ASSIGN(const std::string task_text, read_file(folder + "/mlperf_tasks.csv"));
  PLUTO_ASSIGN(const CsvTable tasks, CsvTable::parse(task_text, "mlperf_tasks.csv"));
  PLUTO_ASSIGN(const std::string text, read_file(folder + "/mlperf_rcp.csv"));
  PLUTO_ASSIGN(const CsvTable table, CsvTable::parse(text, "mlperf_rcp.csv"));
  std::vector<ConvergenceTask> all;
  for (std::size_t t = 0; t < tasks.rows(); ++t) {
    const auto cell = [&](const char* column) { return tasks.text(t, column).value_or(""); };
    ConvergenceTask task;
    task.family = cell("family");
    task.task = cell("task");
    task.unit = cell("unit");
    task.optimizer = cell("optimizer");
    task.left_out = cell("left_out");
    task.exponent_mean = tasks.number(t, "exponent_mean");
    if (!cell("models").empty()) task.models = split(cell("models"), ' ');
    std::map<std::int64_t, Record> best;
    for (std::size_t row = 0; row < table.rows(); ++row) {
      if (table.text(row, "benchmark") != cell("benchmark") ||
          !of_version(table.text(row, "rcp_versions").value_or(""), cell("version"))) {
        continue;
      }
      const Record record = record_of(table, row, !cell("rate_per_sample").empty());
      const auto [at, added] = best.try_emplace(record.point.batch, record);
      if (!added && record.point.samples < at->second.point.samples) at->second = record;
    }
    if (best.empty()) {
      return invalid_input(fmt::format("mlperf_tasks.csv:{}: no record of {} {}", tasks.line(t),
                                       cell("benchmark"), cell("version")));
    }
    std::vector<double> spreads;
    for (const auto& [batch, record] : best) {
      task.points.push_back(record.point);
      task.rates.push_back(record.rate);
      spreads.push_back(record.point.spread);
      task.source = record.source;
    }
    task.seed_spread = median(spreads);
    all.push_back(std::move(task));
  }
  return all;
}

}  // namespace pluto::bench
