#include "costmodel/run_validation.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/csv.h"
#include "base/document.h"
#include "base/text.h"
#include "costmodel/measured_row.h"
#include "costmodel/uncertainty.h"

namespace pluto {

namespace {

constexpr std::array<std::string_view, 20> kColumns = {
    "run",       "model",           "classes",   "machine", "nodes",         "gpus",
    "precision", "framework",       "optimizer", "phases",  "epoch_samples", "evaluated_samples",
    "time_s",    "price_usd_per_h", "price_usd", "date",    "unpredictable", "assumed",
    "note",      "source"};
constexpr double kForwardShare = 1.0 / 3;

/// "128:18:128 224:23:128": image size, epochs, batch of one GPU.
std::vector<RunPhase> read_phases(MeasuredRow& row) {
  std::vector<RunPhase> phases;
  for (const std::string& text : split(row.text("phases"), ' ')) {
    const auto parts = split(text, ':');
    RunPhase phase;
    const auto image = parts.size() == 3 ? parse_integer(parts[0]) : std::nullopt;
    const auto epochs = parts.size() == 3 ? parse_number(parts[1]) : std::nullopt;
    const auto batch = parts.size() == 3 ? parse_integer(parts[2]) : std::nullopt;
    if (!image || !epochs || !batch || *image < 0 || !(*epochs > 0) || *batch < 1) {
      row.fail("phases", fmt::format("\"{}\" is no image:epochs:batch", text));
      return {};
    }
    phase.image = *image;
    phase.epochs = *epochs;
    phase.batch = *batch;
    phases.push_back(phase);
  }
  return phases;
}

void read_what_ran(MeasuredRow& row, const std::map<std::string, Machine>& machines,
                   const FrameworkTable& frameworks, ReportedRun& run) {
  TrainingRow& one = run.row;
  one.model.source = row.text("model");
  const int classes = row.whole("classes", 0);
  if (classes > 0) one.model.options.classes = classes;
  one.machine = row.text("machine");
  const auto machine = machines.find(one.machine);
  if (machine == machines.end()) {
    row.fail("machine", fmt::format("\"{}\" is not in machines.csv", one.machine));
    return;
  }
  one.gpus = row.whole("gpus");
  one.cluster.nodes = row.whole("nodes", 1);
  one.cluster.instance.node = machine->second.node;
  one.interleaved = machine->second.interleaved;
  if (one.gpus < 1 || one.cluster.nodes < 1) {
    row.fail("gpus", "must be positive");
    return;
  }
  one.cluster.instance.node.devices = (one.gpus + one.cluster.nodes - 1) / one.cluster.nodes;
  one.precision = row.word("precision", "fp32", &parse_step_precision);
  one.framework = row.text("framework");
  if (!frameworks.frameworks.contains(one.framework)) {
    row.fail("framework", fmt::format("\"{}\" is not in frameworks.json", one.framework));
  }
  one.optimizer = row.text("optimizer", "momentum");
  one.reads_data = true;
  run.phases = read_phases(row);
  run.epoch_samples = row.positive("epoch_samples");
  run.evaluated_samples = row.number("evaluated_samples", 0.0);
}

TrainingRow row_of(const ReportedRun& run, const RunPhase& phase) {
  TrainingRow row = run.row;
  row.batch = phase.batch;
  if (phase.image > 0) row.model.options.height = row.model.options.width = phase.image;
  return row;
}

}  // namespace

Result<std::vector<ReportedRun>> read_reported_runs(const std::string& path,
                                                    const std::map<std::string, Machine>& machines,
                                                    const FrameworkTable& frameworks) {
  PLUTO_ASSIGN(const std::string text, read_file(path));
  PLUTO_ASSIGN(const CsvTable table, CsvTable::parse(text, path));
  for (const auto& column : table.columns()) {
    if (std::ranges::find(kColumns, column) == kColumns.end()) {
      return invalid_input(fmt::format("{}:1: unknown column '{}'", path, column),
                           "data/README.md lists the columns");
    }
  }
  std::vector<ReportedRun> runs;
  for (std::size_t i = 0; i < table.rows(); ++i) {
    MeasuredRow row(table, i, path);
    ReportedRun run;
    run.line = row.line();
    run.name = row.text("run");
    run.time = Seconds(row.positive("time_s"));
    const double hourly = row.number("price_usd_per_h", 0.0);
    if (hourly > 0) run.hourly = DollarsPerHour(hourly);
    const double price = row.number("price_usd", 0.0);
    if (price > 0) run.price = Dollars(price);
    run.unpredictable = row.text("unpredictable");
    run.assumed = row.text("assumed");
    run.note = row.text("note");
    run.source = row.text("source");
    if (run.unpredictable.empty()) read_what_ran(row, machines, frameworks, run);
    PLUTO_TRY(row.finish());
    runs.push_back(std::move(run));
  }
  return runs;
}

Result<ScoredStep> predict_run(const ReportedRun& run, StepPredictor& predictor) {
  double time = 0, doubt = 0;
  Seconds forward;  // of one batch of all GPUs
  double last_batch = 1;
  for (const RunPhase& phase : run.phases) {
    PLUTO_ASSIGN(const TrainingStep step, predictor.predict(row_of(run, phase)));
    last_batch = static_cast<double>(phase.batch) * run.row.gpus;
    const double steps = phase.epochs * run.epoch_samples / last_batch;
    time += steps * step.step().value();
    doubt += steps * step.step().value() * step.spread;
    forward = step.compute * kForwardShare;
  }
  const double evaluation = run.evaluated_samples / last_batch * forward.value();
  const double spread = time > 0 ? doubt / time : 0;
  const double assumed = run.assumed.empty() ? 0 : least_spread(Evidence::kAssumed);
  return ScoredStep{time + evaluation, run.time.value(),
                    std::hypot(std::hypot(spread, kRunSpread, kUnseenSystem), assumed)};
}

const std::vector<std::string>& run_families() {
  static const std::vector<std::string> kFamilies = {"dawnbench", "mlperf_runs"};
  return kFamilies;
}

Result<std::vector<ValidatedRuns>> validate_runs(const std::string& data_folder) {
  PLUTO_ASSIGN(const Catalog catalog, Catalog::load(data_folder + "/catalog"));
  PLUTO_ASSIGN(const auto machines, read_machines(data_folder + "/measured/machines.csv", catalog));
  PLUTO_ASSIGN(FrameworkTable frameworks, load_frameworks(data_folder + "/frameworks.json"));
  PLUTO_ASSIGN(auto predictor, StepPredictor::load(data_folder, std::move(frameworks)));
  std::vector<ValidatedRuns> all;
  for (const std::string& family : run_families()) {
    const std::string path = fmt::format("{}/measured/{}.csv", data_folder, family);
    ValidatedRuns one;
    one.family = family;
    PLUTO_ASSIGN(one.runs, read_reported_runs(path, machines, predictor.frameworks()));
    for (const ReportedRun& run : one.runs) {
      std::optional<ScoredStep> time, price;
      if (run.unpredictable.empty()) {
        PLUTO_ASSIGN_AT(fmt::format("{}:{}", path, run.line), time, predict_run(run, predictor));
        if (run.hourly && run.price) {
          price = ScoredStep{(*run.hourly * Seconds(time->predicted)).value(), run.price->value(),
                             time->spread};
        }
      }
      one.times.push_back(time);
      one.prices.push_back(price);
    }
    all.push_back(std::move(one));
  }
  return all;
}

}  // namespace pluto
