#include "costmodel/part_validation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "base/csv.h"
#include "base/gzip_file.h"
#include "costmodel/collective_points.h"
#include "costmodel/measured_ops.h"
#include "costmodel/sources.h"
#include "costmodel/surface_table.h"
#include "costmodel/uncertainty.h"
#include "model/training_graph.h"
#include "model/zoo.h"

namespace pluto {

namespace {

/// A published configuration as a model of the zoo. The GPT-2 graph stands for GPT-3 and OPT, which
/// differ in a bias or the activation.
struct Configuration {
  std::string model;
  ZooOptions options;
};
std::optional<Configuration> configuration_of(const std::string& model, std::int64_t sequence) {
  ZooOptions options;
  options.sequence = sequence;
  if (model == "bert_large") return Configuration{"bert-large", options};
  if (model == "gpt2_large") return Configuration{"gpt2-large", options};
  const auto sized = [&](std::int64_t layers, std::int64_t width, std::int64_t heads) {
    options.layers = layers;
    options.width_model = width;
    options.heads = heads;
    return Configuration{"gpt2-xl", options};
  };
  if (model == "gpt3_27") return sized(32, 2560, 32);
  if (model == "opt_13") return sized(24, 2048, 32);
  return std::nullopt;
}

/// The operators of a model, updates left out.
struct SummedOps {
  EvidenceTally forward, backward;
  std::map<OpClass, double> by_class;
};
SummedOps sum_ops(const TrainingGraph& training, std::int64_t batch, const DeviceSpec& device,
                  const CostSource& costs) {
  SummedOps sum;
  std::unordered_map<std::string, OpCost> known;  // layers repeat
  for (const Op& op : training.graph.ops()) {
    const OpClass op_class = class_of(op.kind);
    if (op_class == OpClass::kUpdate) continue;
    const OpSignature signature = signature_of(training.graph, op, batch);
    const auto [cost, fresh] = known.try_emplace(to_text(signature));
    if (fresh) cost->second = costs.op(signature, device, 1);
    const bool forward = training.phase[op.id.index()] == OpPhase::kForward;
    const OpCost& one = cost->second;
    (forward ? sum.forward : sum.backward).add(one.time, one.relative_spread, one.evidence);
    sum.by_class[op_class] += one.time.value();
  }
  return sum;
}

}  // namespace

Result<std::vector<ValidatedRow>> validate_collectives(const std::string& data_folder) {
  PLUTO_ASSIGN(const NcclTable table, load_nccl(data_folder + "/nccl.json"));
  PLUTO_ASSIGN(const auto points,
               read_collectives(data_folder + "/measured/collectives.csv.gz", table));
  std::vector<ValidatedRow> rows;
  for (const CollectiveRow& point : points) {
    const NcclCost cost = nccl_time(point.call, point.cluster, table);
    const auto evidence = cost.fitted ? Evidence::kCalibrated : Evidence::kDatasheet;
    ValidatedRow row;
    row.line = point.line;
    row.what = fmt::format("{}, {} of {} bytes, {} GPUs", point.system, to_text(point.call.kind),
                           point.call.bytes.value(), point.call.ranks);
    row.alike = fmt::format("{} {} {}", point.system, to_text(point.call.kind), point.call.ranks);
    row.step =
        ScoredStep{cost.time.value(), point.seconds, std::max(cost.spread, least_spread(evidence))};
    row.terms = {{fmt::format("{} {}", to_text(cost.algorithm), to_text(cost.protocol)), 1}};
    rows.push_back(std::move(row));
  }
  return rows;
}

Result<std::vector<ValidatedRow>> validate_operators(const std::string& data_folder,
                                                     const std::string& table) {
  PLUTO_ASSIGN(const Catalog catalog, Catalog::load(data_folder + "/catalog"));
  PLUTO_ASSIGN(const auto measured, read_measured_ops(data_folder + "/measured", {table}, catalog));
  PLUTO_ASSIGN(const auto surfaces, load_surfaces(data_folder + "/op_surfaces.json"));
  std::vector<const MeasuredOp*> kept;
  for (const MeasuredOp& op : measured.ops) {
    const bool waiting = op.sample.source == kWaitingSource && op.sample.seconds < kLeastWaited;
    if (!waiting) kept.push_back(&op);
  }
  std::map<std::string, DeviceSpec> devices;
  std::vector<ValidatedRow> rows;
  const std::size_t count = std::min(kept.size(), kMostOperators);
  for (std::size_t i = 0; i < count; ++i) {
    const MeasuredOp& op = *kept[i * kept.size() / count];
    if (!devices.contains(op.device)) {
      PLUTO_ASSIGN(devices[op.device], catalog.device(op.device));
    }
    const OpShape& shape = op.sample.shape;
    const auto found = surfaces.find(shape.op_class, shape.arithmetic, devices.at(op.device));
    if (!found) continue;
    ValidatedRow row;
    row.line = op.line;
    row.what = fmt::format("{}, {} {}", op.device, to_text(shape.arithmetic), op.what);
    row.alike =
        fmt::format("{} {} {}", op.device, to_text(shape.op_class), to_text(shape.arithmetic));
    row.step =
        ScoredStep{surface_seconds(shape, op.sample.device, found->fitted->surface, Load::kSingle),
                   op.sample.seconds, found->fitted->spread};
    row.terms = {{to_text(shape.op_class), 1}};
    rows.push_back(std::move(row));
  }
  return rows;
}

Result<std::vector<ValidatedRow>> validate_whole_models(const std::string& data_folder) {
  const std::string folder = data_folder + "/measured";
  const std::string path = folder + "/neusight_models.csv.gz";
  PLUTO_ASSIGN(const Catalog catalog, Catalog::load(data_folder + "/catalog"));
  PLUTO_ASSIGN(const auto devices, read_measured_devices(folder, catalog));
  PLUTO_ASSIGN(const auto costs,
               make_roofline_source(
                   data_folder + "/efficiency.json",
                   {.surfaces_path = data_folder + "/op_surfaces.json", .eager_attention = true}));
  PLUTO_ASSIGN(const std::string text, read_gzip_file(path));
  PLUTO_ASSIGN(const CsvTable table, CsvTable::parse(text, path));
  std::map<std::string, TrainingGraph> graphs;
  std::vector<ValidatedRow> rows;
  for (std::size_t i = 0; i < table.rows(); ++i) {
    const auto cell = [&](const char* column) { return table.text(i, column).value_or(""); };
    const auto number = [&](const char* column) { return table.number(i, column).value_or(0); };
    std::string name = cell("device");
    std::ranges::replace(name, '_', ' ');
    const auto device = devices.find(name);
    const auto sequence = std::llround(number("seq_len"));
    const auto known = configuration_of(cell("model"), sequence);
    if (device == devices.end() || !known || !cell("options").empty()) continue;
    const std::string key = fmt::format("{} {}", cell("model"), sequence);
    if (!graphs.contains(key)) {
      PLUTO_ASSIGN(const ModelGraph model, build_model(known->model, known->options));
      PLUTO_ASSIGN(graphs[key], differentiate(model, SgdAttrs{}));
    }
    const auto batch = std::llround(number("batch"));
    const double measured = number("e2e_ms") * 1e-3;
    if (batch < 1 || !(measured > 0)) {
      return invalid_input(
          fmt::format("{}:{}: batch and e2e_ms must be positive", path, table.line(i)));
    }
    SummedOps sum = sum_ops(graphs.at(key), batch, device->second, *costs);
    if (cell("mode") == "train") sum.forward.add(sum.backward);
    ValidatedRow row;
    row.line = table.line(i);
    row.what = fmt::format("{}, {} {}, sequence {}, batch {}", device->second.name, cell("model"),
                           cell("mode"), sequence, batch);
    row.alike = fmt::format("{} {}", device->second.name, cell("mode"));
    row.step = ScoredStep{sum.forward.total().value(), measured, sum.forward.relative_spread()};
    double all = 0;
    for (const auto& [op_class, seconds] : sum.by_class) all += seconds;
    for (const auto& [op_class, seconds] : sum.by_class) {
      row.terms.emplace_back(to_text(op_class), seconds / all);
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace pluto
