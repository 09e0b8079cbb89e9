// calibrate: short measured runs of transformers in, constants of the closed form out; predict uses
// them from then on.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "base/statistics.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/workflow.h"
#include "costmodel/transformer_candidates.h"
#include "costmodel/transformer_design.h"
#include "costmodel/transformer_evidence.h"
#include "costmodel/transformer_validation.h"
#include "runtime/host.h"

namespace pluto {

namespace {

constexpr int kMostFolds = 40;          // up to so many kinds of layers each is left out alone
constexpr std::size_t kMostShown = 30;  // rows of the table of points
constexpr double kWorthSaying = 0.001;  // effect of a constant on the step

struct CalibrateOptions {
  std::string points, device, instance, output;
  int suggest = 0;
};

/// Where a row of the file may have run: the nodes that come with Pluto, what can be rented, and,
/// for rows that do not say, the instance of --instance.
Result<std::map<std::string, NodeSpec>> known_nodes(const Session& session, const Catalog& catalog,
                                                    const CalibrateOptions& options) {
  PLUTO_ASSIGN(auto nodes, read_transformer_nodes(session.data_folder + "/measured/clusters.csv",
                                                  catalog.devices()));
  for (const InstanceType& instance : catalog.instances()) nodes[instance.name] = instance.node;
  if (!options.instance.empty()) {
    PLUTO_ASSIGN_AT("--instance", const InstanceType instance, catalog.instance(options.instance));
    nodes[""] = instance.node;
  }
  return nodes;
}

Result<std::vector<TransformerRow>> read_rows(const Session& session, const Catalog& catalog,
                                              const CalibrateOptions& options) {
  PLUTO_ASSIGN(const auto nodes, known_nodes(session, catalog, options));
  PLUTO_ASSIGN(auto rows, read_transformer_points(options.points, nodes));
  for (TransformerRow& row : rows) {
    if (row.cluster.empty()) {
      row.cluster = row.point.cluster.instance.name = options.instance;
    }
  }
  if (!options.device.empty()) {
    std::erase_if(rows, [&](const TransformerRow& row) {
      return row.point.cluster.instance.node.device.name != options.device;
    });
    if (rows.empty()) {
      return invalid_input(fmt::format("{}: no row ran on {}", options.points, options.device),
                           "leave --device out, or name the device of the rows' cluster");
    }
  }
  return rows;
}

struct Recorded {
  std::int64_t added = 0, known = 0, without_time = 0;
};

Result<Recorded> record_rows(Store& store, const std::string& path,
                             const std::vector<TransformerRow>& rows,
                             const TransformerCostTable& table) {
  PLUTO_ASSIGN(const auto stored, store.measurements(std::nullopt));
  std::vector<TransformerStepMeasurement> known;
  for (const StoredMeasurement& one : stored) {
    const auto* step = std::get_if<TransformerStepMeasurement>(&one.measurement.what);
    if (step != nullptr) known.push_back(*step);
  }
  Recorded recorded;
  const std::string now = utc_text(utc_seconds());
  for (const TransformerRow& row : rows) {
    if (!(row.point.step.value() > 0)) {
      ++recorded.without_time;
      continue;
    }
    // What cannot be predicted would spoil every later calibration: rows are never changed.
    PLUTO_TRY_AT(fmt::format("{}:{}", path, row.line),
                 predict_transformer(row.point.shape, row.point.plan, row.point.cluster,
                                     table.costs_for(row.point.cluster.instance.node.device)));
    const TransformerStepMeasurement step{
        row.point.shape, row.point.plan, row.point.cluster, {row.point.step, 0, 1}};
    if (std::ranges::find(known, step) != known.end()) {
      ++recorded.known;
      continue;
    }
    const std::string& device = row.point.cluster.instance.node.device.name;
    PLUTO_TRY(store.record({{row.cluster, device, "foreign " + device, now, 1}, step}));
    known.push_back(step);
    ++recorded.added;
  }
  return recorded;
}

struct Errors {
  double median = 0, p90 = 0;
};
Errors errors_of(const std::vector<double>& logs) {
  std::vector<double> sizes;
  for (const double log : logs) sizes.push_back(std::abs(std::expm1(log)));
  return {median(sizes), quantile(sizes, 0.9)};
}

/// One device's points under the shipped constants, the calibrated ones, and ones that never saw
/// the point.
struct Calibrated {
  DeviceSpec device;
  TransformerCosts shipped;
  TransformerEvidence evidence;
  std::vector<double> before, after, left_out;  ///< ln(predicted / measured); left_out may be empty
};

Result<Calibrated> calibrate_device(const DeviceSpec& device, const TransformerCostTable& table,
                                    const std::vector<CalibrationPoint>& measured) {
  Calibrated one;
  one.device = device;
  one.shipped = table.costs_for(device);
  PLUTO_ASSIGN(one.evidence, transformer_evidence(measured, device, table));
  for (const TransformerPoint& point : one.evidence.points) {
    const auto error = [&](const TransformerCosts& costs, const LayerFactors& factors) {
      const auto step =
          predict_measured_layers(point.shape, point.plan, point.cluster, costs, factors);
      return std::log(step.step() / point.step);
    };
    one.before.push_back(error(one.shipped, {}));
    one.after.push_back(error(one.evidence.costs, one.evidence.factors));
  }
  if (one.evidence.factors.factors().size() >= 2) {
    PLUTO_ASSIGN(one.left_out, left_out_errors(one.evidence.points, one.shipped, kMostFolds));
  }
  return one;
}

std::string percent(double log) { return fmt::format("{:+.1f} %", 100 * std::expm1(log)); }
std::string size(double share) { return fmt::format("{:.1f} %", 100 * share); }

Value value_of(const Errors& errors) {
  Value value = Value::object();
  value.set("median", errors.median).set("p90", errors.p90);
  return value;
}

Value value_of(const Calibrated& one) {
  Value points = Value::array(), constants = Value::array();
  for (std::size_t i = 0; i < one.evidence.points.size(); ++i) {
    const TransformerPoint& point = one.evidence.points[i];
    Value value = Value::object();
    value.set("cluster", point.cluster.instance.name)
        .set("shape", to_value(point.shape))
        .set("plan", to_value(point.plan))
        .set("step_s", point.step.value())
        .set("before", std::expm1(one.before[i]))
        .set("after", std::expm1(one.after[i]))
        .set("left_out", one.left_out.empty() ? Value() : Value(std::expm1(one.left_out[i])));
    points.push_back(std::move(value));
  }
  for (std::size_t c = 0; c < kTransformerConstants; ++c) {
    const auto constant = static_cast<TransformerConstant>(c);
    const auto effect = effect_of(constant, one.evidence.points, one.evidence.costs);
    Value value = Value::object();
    value.set("name", to_text(constant))
        .set("shipped", one.shipped.value[c])
        .set("value", one.evidence.costs.value[c])
        .set("spread_before", one.shipped.spread[c])
        .set("spread", one.evidence.costs.spread[c])
        .set("effect_p10", effect.low)
        .set("effect_p90", effect.high);
    constants.push_back(std::move(value));
  }
  Value layers = Value::object();
  for (const auto& [kernels, factor] : one.evidence.factors.factors()) layers.set(kernels, factor);
  Value value = Value::object();
  value.set("device", one.device.name)
      .set("runs", one.evidence.points.size())
      .set("watermark", one.evidence.watermark)
      .set("step_spread", one.evidence.costs.step_spread)
      .set("before", value_of(errors_of(one.before)))
      .set("after", value_of(errors_of(one.after)))
      .set("left_out", one.left_out.empty() ? Value() : value_of(errors_of(one.left_out)))
      .set("points", std::move(points))
      .set("constants", std::move(constants))
      .set("layer_factors", std::move(layers));
  return value;
}

void say_points(Terminal& terminal, const Calibrated& one) {
  const auto& points = one.evidence.points;
  std::vector<std::size_t> order(points.size());
  std::iota(order.begin(), order.end(), 0U);
  if (order.size() > kMostShown) {
    std::ranges::stable_sort(order, std::greater{},
                             [&](std::size_t i) { return std::abs(one.after[i]); });
    order.resize(kMostShown);
    terminal.say(
        fmt::format("the {} of {} points that are furthest off:", kMostShown, points.size()));
  }
  std::vector<std::vector<std::string>> rows = {
      {"cluster", "model", "plan", "measured", "before", "after", "left out"}};
  for (const std::size_t i : order) {
    rows.push_back({points[i].cluster.instance.name, to_text(points[i].shape),
                    to_text(points[i].plan), to_text(points[i].step), percent(one.before[i]),
                    percent(one.after[i]), one.left_out.empty() ? "-" : percent(one.left_out[i])});
  }
  terminal.say(format_table(rows));
}

void say_device(Terminal& terminal, const Calibrated& one) {
  terminal.say(fmt::format("{}  {} run{}", one.device.name, one.evidence.points.size(),
                           one.evidence.points.size() == 1 ? "" : "s"));
  say_points(terminal, one);
  std::vector<std::vector<std::string>> rows = {{"error of the step", "median", "p90"}};
  const auto add = [&](const char* name, const std::vector<double>& logs) {
    if (logs.empty()) return;
    const Errors errors = errors_of(logs);
    rows.push_back({name, size(errors.median), size(errors.p90)});
  };
  add("shipped constants", one.before);
  add("calibrated", one.after);
  add("calibrated without layers of their kind", one.left_out);
  terminal.say(format_table(rows));

  std::vector<std::vector<std::string>> constants = {
      {"constant", "shipped", "now", "spread", "was", "step at its p10 .. p90"}};
  for (std::size_t c = 0; c < kTransformerConstants; ++c) {
    const auto constant = static_cast<TransformerConstant>(c);
    const auto effect = effect_of(constant, one.evidence.points, one.evidence.costs);
    if (std::max(std::abs(effect.low), std::abs(effect.high)) < kWorthSaying) continue;
    constants.push_back({to_text(constant), fmt::format("{:.3g}", one.shipped.value[c]),
                         fmt::format("{:.3g}", one.evidence.costs.value[c]),
                         fmt::format("{:.2f}", one.evidence.costs.spread[c]),
                         fmt::format("{:.2f}", one.shipped.spread[c]),
                         fmt::format("{:+.1f} .. {:+.1f} %", 100 * effect.low, 100 * effect.high)});
  }
  terminal.say(format_table(constants));
}

Result<int> calibrate(Session& session, const CalibrateOptions& options) {
  PLUTO_ASSIGN(const Catalog catalog, Catalog::load(session.data_folder + "/catalog"));
  PLUTO_ASSIGN(const auto table,
               TransformerCostTable::load(session.data_folder + "/transformer.json"));
  if (!options.device.empty()) PLUTO_TRY_AT("--device", catalog.device(options.device));
  PLUTO_ASSIGN(const auto store, open_store(session));
  Recorded recorded;
  std::map<std::string, DeviceSpec> devices;
  if (!options.points.empty()) {
    PLUTO_ASSIGN(const auto rows, read_rows(session, catalog, options));
    PLUTO_ASSIGN(recorded, record_rows(*store, options.points, rows, table));
    for (const TransformerRow& row : rows) {
      const DeviceSpec& device = row.point.cluster.instance.node.device;
      if (row.point.step.value() > 0) devices[device.name] = device;
    }
    if (devices.empty()) {
      return invalid_input(fmt::format("{}: no row has a step_s", options.points),
                           "write the measured seconds of a step into that column; --suggest N "
                           "says which configurations to measure");
    }
  }
  PLUTO_ASSIGN(const auto stored, store->measurements(std::nullopt));
  std::vector<CalibrationPoint> measured;
  for (const StoredMeasurement& one : stored) {
    const auto* step = std::get_if<TransformerStepMeasurement>(&one.measurement.what);
    if (step == nullptr) continue;
    measured.push_back({one.id, one.measurement});
    const DeviceSpec& device = step->cluster.instance.node.device;
    const bool wanted = options.device.empty() || device.name == options.device;
    if (options.points.empty() && wanted) devices[device.name] = device;
  }
  if (devices.empty()) {
    return not_found("no measured step of a transformer is in the database",
                     "pluto-plan calibrate points.csv; --suggest 20 --instance TYPE writes the "
                     "configurations to measure");
  }
  Terminal& terminal = *session.terminal;
  Value list = Value::array();
  for (const auto& [name, device] : devices) {
    PLUTO_ASSIGN(const Calibrated one, calibrate_device(device, table, measured));
    say_device(terminal, one);
    list.push_back(value_of(one));
  }
  Value document = Value::object();
  document.set("schema", "pluto.calibrate/1")
      .set("added", recorded.added)
      .set("already_known", recorded.known)
      .set("without_time", recorded.without_time)
      .set("devices", std::move(list));
  terminal.result(document);
  if (!options.points.empty()) {
    terminal.note(fmt::format("{} steps added to {}, {} known already, {} rows without a time",
                              recorded.added, session.database, recorded.known,
                              recorded.without_time));
  }
  if (!options.output.empty()) {
    PLUTO_TRY(write_file(options.output, to_json(document) + "\n"));
    terminal.note(fmt::format("wrote {}", options.output));
  }
  terminal.say("next      pluto-plan predict job.yaml --set instance=TYPE     (uses these runs)");
  return 0;
}

/// The rows after which the others can be told apart best, given what was measured already.
Result<int> suggest(Session& session, const CalibrateOptions& options) {
  PLUTO_ASSIGN(const Catalog catalog, Catalog::load(session.data_folder + "/catalog"));
  PLUTO_ASSIGN(const auto table,
               TransformerCostTable::load(session.data_folder + "/transformer.json"));
  std::vector<TransformerRow> rows;
  if (!options.points.empty()) {
    PLUTO_ASSIGN(rows, read_rows(session, catalog, options));
    std::erase_if(rows, [](const TransformerRow& row) { return row.point.step.value() > 0; });
  } else if (!options.instance.empty()) {
    PLUTO_ASSIGN_AT("--instance", const InstanceType instance, catalog.instance(options.instance));
    rows = candidate_runs(instance);
  } else {
    return invalid_input("--suggest: nothing says what could be measured",
                         "give --instance TYPE, or a file of configurations without step_s");
  }
  if (rows.empty()) {
    return invalid_input("--suggest: there is no configuration to choose from",
                         "leave step_s empty in the rows that could be measured");
  }
  PLUTO_ASSIGN(const auto store, open_store(session));
  PLUTO_ASSIGN(const auto stored, store->measurements(std::nullopt));
  std::vector<CalibrationPoint> measured;
  for (const StoredMeasurement& one : stored) measured.push_back({one.id, one.measurement});
  const DeviceSpec& device = rows.front().point.cluster.instance.node.device;
  for (const TransformerRow& row : rows) {
    if (row.point.cluster.instance.node.device.name == device.name) continue;
    return invalid_input(fmt::format("{}: rows of {} and of {}", options.points, device.name,
                                     row.point.cluster.instance.node.device.name),
                         "constants belong to one device: choose one with --device");
  }
  PLUTO_ASSIGN(const auto evidence, transformer_evidence(measured, device, table));
  std::vector<TransformerPoint> points;
  for (const TransformerRow& row : rows) points.push_back(row.point);
  // What is known of the constants is what they were believed to be and the measured steps.
  TransformerCosts costs = evidence.costs;
  costs.spread = table.costs_for(device).spread;
  std::vector<TransformerRow> chosen;
  for (const std::size_t i : choose_runs(points, points, evidence.points,
                                         static_cast<std::size_t>(options.suggest), costs)) {
    chosen.push_back(rows[i]);
  }
  const std::string text = to_csv(chosen);
  Terminal& terminal = *session.terminal;
  Value list = Value::array();
  for (const TransformerRow& row : chosen) {
    Value value = Value::object();
    value.set("cluster", row.cluster)
        .set("shape", to_value(row.point.shape))
        .set("plan", to_value(row.point.plan));
    list.push_back(std::move(value));
  }
  Value document = Value::object();
  document.set("schema", "pluto.calibrate.suggest/1")
      .set("device", device.name)
      .set("candidates", rows.size())
      .set("measured", evidence.points.size())
      .set("runs", std::move(list));
  terminal.result(document);
  if (options.output.empty()) {
    terminal.say(text.substr(0, text.size() - 1));
  } else {
    PLUTO_TRY(write_file(options.output, text));
    terminal.say(
        fmt::format("wrote {} of {} configurations to {}; fill in step_s, then pluto-plan "
                    "calibrate {}",
                    chosen.size(), rows.size(), options.output, options.output));
  }
  return 0;
}

}  // namespace

void add_calibrate(CLI::App& app, Session& session) {
  auto options = std::make_shared<CalibrateOptions>();
  CLI::App* verb =
      app.add_subcommand("calibrate", "Fits the model of transformer steps to short measured runs");
  verb->footer(
      "Columns of the file (an empty cell, or no column, is the default in brackets):\n"
      "  cluster            an instance type, or a cluster of data/measured/clusters.csv\n"
      "                     [the --instance]\n"
      "  layers hidden heads kv_heads [heads] ffn [4 hidden] sequence vocabulary\n"
      "  style [gpt] llama mpt; experts [1] experts_per_token [1]\n"
      "  data tensor pipeline context interleave [1] sequence_parallel [0] shard [0]\n"
      "  micro_batch global_batch recompute [none] selective full\n"
      "  precision [bf16] fp16 fp32 fp8; attention [scores] flash flash2\n"
      "  overlap_data overlap_tensor [0] gradient_bytes [2] step_s\n"
      "Examples:\n"
      "  pluto-plan calibrate --suggest 20 --instance aws:p4d.24xlarge -o points.csv\n"
      "  pluto-plan calibrate points.csv\n"
      "  pluto-plan calibrate --device \"A100 SXM 80GB\"      what the database holds");
  verb->add_option("points", options->points, "Measured steps (CSV)");
  verb->add_option("--device", options->device, "Only rows of this device");
  verb->add_option("--instance", options->instance,
                   "Instance type where rows without a cluster ran");
  verb->add_option("--suggest", options->suggest, "Print so many configurations to measure instead")
      ->check(CLI::PositiveNumber);
  verb->add_option("-o,--output", options->output,
                   "Write the calibration (JSON) or the suggested configurations (CSV) here");
  verb->callback([&session, options] {
    session.action = [&session, options] {
      return options->suggest > 0 ? suggest(session, *options) : calibrate(session, *options);
    };
  });
}

}  // namespace pluto
