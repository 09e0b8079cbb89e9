#include "costmodel/training_points.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "base/csv.h"
#include "base/document.h"
#include "base/text.h"
#include "costmodel/measured_row.h"

namespace pluto {

namespace {

constexpr double kGiga = 1e9;
constexpr double kMicro = 1e-6;
constexpr double kMebibyte = 1024.0 * 1024;
constexpr std::array<std::string_view, 20> kColumns = {
    "model",  "image",        "classes",    "sequence",  "machine",   "nodes", "gpus",
    "batch",  "accumulation", "precision",  "framework", "optimizer", "sync",  "input",
    "step_s", "comm_s",       "memory_MiB", "outcome",   "note",      "source"};

template <class T, std::size_t N>
Result<T> parse_word(std::string_view text, const std::array<T, N>& all, const char* what) {
  std::vector<std::string> names;
  for (const T one : all) {
    if (text == to_text(one)) return one;
    names.emplace_back(to_text(one));
  }
  return invalid_input(fmt::format("'{}' is no {}", text, what),
                       fmt::format("one of {}", fmt::join(names, ", ")));
}

Result<CsvTable> read_table(const std::string& path) {
  PLUTO_ASSIGN(const std::string text, read_file(path));
  return CsvTable::parse(text, path);
}

void read_what_ran(MeasuredRow& row, TrainingRow& one) {
  one.model.source = row.text("model");
  const auto option = [&](std::string_view column) -> std::optional<std::int64_t> {
    const int value = row.whole(column, 0);
    return value > 0 ? std::optional<std::int64_t>(value) : std::nullopt;
  };
  one.model.options.height = one.model.options.width = option("image");
  one.model.options.classes = option("classes");
  one.model.options.sequence = option("sequence");
  one.gpus = row.whole("gpus", 1);
  one.batch = row.whole("batch");
  one.accumulation = row.whole("accumulation", 1);
  if (one.gpus < 1) row.fail("gpus", "must be positive");
  if (one.batch < 1) row.fail("batch", "must be positive");
  if (one.accumulation < 1) row.fail("accumulation", "must be positive");
  one.precision = row.word("precision", "fp32", &parse_step_precision);
  one.sync = row.word("sync", "all_reduce", &parse_step_sync);
  one.framework = row.text("framework");
  one.optimizer = row.text("optimizer", "momentum");
  static constexpr std::array<std::string_view, 4> kOptimizers = {"sgd", "momentum", "adam",
                                                                  "none"};
  if (std::ranges::find(kOptimizers, one.optimizer) == kOptimizers.end()) {
    row.fail("optimizer", "must be sgd, momentum, adam or none");
  }
  const std::string input = row.text("input", "synthetic");
  one.reads_data = input != "synthetic";
}

void read_what_came_out(MeasuredRow& row, TrainingRow& one) {
  one.step = Seconds(row.number("step_s", 0.0));
  const double comm = row.number("comm_s", -1.0);
  if (comm >= 0) one.exposed_comm = Seconds(comm);
  const double memory = row.number("memory_MiB", 0.0);
  if (memory > 0) one.memory = Bytes(static_cast<std::int64_t>(memory * kMebibyte));
  const std::string outcome = row.text("outcome", "ran");
  if (outcome != "ran" && outcome != "oom") row.fail("outcome", "must be oom, ran or empty");
  one.out_of_memory = outcome == "oom";
  one.note = row.text("note");
  one.source = row.text("source");
  one.line = row.line();
}

}  // namespace

const char* to_text(StepPrecision precision) {
  switch (precision) {
    case StepPrecision::kFp32:
      return "fp32";
    case StepPrecision::kTf32:
      return "tf32";
    case StepPrecision::kMixed:
      return "mixed";
  }
  return "?";
}
Result<StepPrecision> parse_step_precision(std::string_view text) {
  return parse_word(text,
                    std::array{StepPrecision::kFp32, StepPrecision::kTf32, StepPrecision::kMixed},
                    "precision");
}

const char* to_text(StepSync sync) {
  switch (sync) {
    case StepSync::kAllReduce:
      return "all_reduce";
    case StepSync::kServerCpu:
      return "server_cpu";
    case StepSync::kServerGpu:
      return "server_gpu";
    case StepSync::kServerHosts:
      return "server_hosts";
  }
  return "?";
}
Result<StepSync> parse_step_sync(std::string_view text) {
  return parse_word(text,
                    std::array{StepSync::kAllReduce, StepSync::kServerCpu, StepSync::kServerGpu,
                               StepSync::kServerHosts},
                    "way to synchronise");
}

Result<std::map<std::string, Machine>> read_machines(const std::string& path,
                                                     const Catalog& catalog) {
  PLUTO_ASSIGN(const CsvTable table, read_table(path));
  std::map<std::string, Machine> machines;
  for (std::size_t i = 0; i < table.rows(); ++i) {
    MeasuredRow row(table, i, path);
    NodeSpec node;
    PLUTO_ASSIGN_AT(row.place(), node.device, catalog.device(row.text("device")));
    node.devices = row.whole("devices_per_node");
    node.intra = {row.text("intra"), Seconds(row.positive("intra_alpha_us") * kMicro),
                  BytesPerSecond(row.positive("intra_GBps") * kGiga)};
    if (!row.text("network").empty()) {
      node.network = {row.text("network"), Seconds(row.positive("network_alpha_us") * kMicro),
                      BytesPerSecond(row.positive("network_GBps") * kGiga), node.devices};
      node.network.interfaces = row.whole("interfaces", 1);
    }
    const std::string order = row.text("order");
    if (!order.empty() && order != "interleaved") row.fail("order", "must be interleaved or empty");
    PLUTO_TRY(row.finish());
    machines[row.text("machine")] = {node, !order.empty()};
  }
  return machines;
}

Result<std::vector<TrainingRow>> read_training_points(
    const std::string& path, const std::map<std::string, Machine>& machines,
    const FrameworkTable& frameworks) {
  PLUTO_ASSIGN(const CsvTable table, read_table(path));
  for (const auto& column : table.columns()) {
    if (std::ranges::find(kColumns, column) == kColumns.end()) {
      return invalid_input(fmt::format("{}:1: unknown column '{}'", path, column),
                           "data/README.md lists the columns");
    }
  }
  std::vector<TrainingRow> rows;
  for (std::size_t i = 0; i < table.rows(); ++i) {
    MeasuredRow row(table, i, path);
    TrainingRow one;
    read_what_ran(row, one);
    read_what_came_out(row, one);
    one.machine = row.text("machine");
    const auto machine = machines.find(one.machine);
    if (machine == machines.end()) {
      row.fail("machine", fmt::format("'{}' is not in machines.csv", one.machine));
    }
    if (!frameworks.frameworks.contains(one.framework)) {
      row.fail("framework", fmt::format("'{}' is not in frameworks.json", one.framework));
    }
    one.cluster.nodes = row.whole("nodes", 1);
    PLUTO_TRY(row.finish());
    one.cluster.instance.name = one.machine;
    one.cluster.instance.node = machine->second.node;
    one.interleaved = machine->second.interleaved;
    auto& devices = one.cluster.instance.node.devices;
    const int per_node = (one.gpus + one.cluster.nodes - 1) / one.cluster.nodes;
    if (per_node > devices) {
      row.fail("gpus", fmt::format("{} on a node of {}", per_node, devices));
    } else if (one.cluster.nodes > 1 &&
               !(one.cluster.instance.node.network.bandwidth.value() > 0)) {
      row.fail("nodes", fmt::format("'{}' has no network", one.machine));
    }
    PLUTO_TRY(row.finish());
    if (one.cluster.nodes > 1) {  // ranks of a node share its network
      devices = per_node;
      one.cluster.instance.node.network.shared_by = per_node;
    }
    rows.push_back(std::move(one));
  }
  return rows;
}

}  // namespace pluto
