#include "costmodel/transformer_points.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "base/csv.h"
#include "base/document.h"
#include "costmodel/measured_row.h"

namespace pluto {

namespace {

constexpr double kGiga = 1e9;
constexpr double kMicro = 1e-6;
constexpr double kGibibyte = 1024.0 * 1024 * 1024;
constexpr std::array<std::string_view, 32> kColumns = {
    "cluster",    "layers",           "hidden",         "heads",          "kv_heads",
    "ffn",        "sequence",         "vocabulary",     "style",          "data",
    "tensor",     "pipeline",         "context",        "interleave",     "sequence_parallel",
    "shard",      "micro_batch",      "global_batch",   "recompute",      "precision",
    "attention",  "overlap_data",     "overlap_tensor", "gradient_bytes", "step_s",
    "memory_GiB", "allocated_GiB",    "outcome",        "note",           "source",
    "experts",    "experts_per_token"};

Result<CsvTable> read_table(const std::string& path) {
  PLUTO_ASSIGN(const std::string text, read_file(path));
  return CsvTable::parse(text, path);
}

std::optional<Bytes> gibibytes(double amount) {
  if (!(amount > 0)) return std::nullopt;
  return Bytes(static_cast<std::int64_t>(amount * kGibibyte));
}

std::string unknown_cluster(const std::string& name) {
  return name.empty() ? "is empty, so where it ran is not known"
                      : fmt::format("'{}' is not known", name);
}
std::string known_clusters(const std::map<std::string, NodeSpec>& nodes) {
  constexpr std::size_t kMostNames = 12;
  std::vector<std::string> names;
  for (const auto& [name, node] : nodes) {
    if (!name.empty() && names.size() < kMostNames) names.push_back(name);
  }
  return fmt::format("for example {}", fmt::join(names, ", "));
}

TransformerShape read_shape(MeasuredRow& row) {
  TransformerShape shape =
      TransformerShape::gpt(row.whole("layers"), row.whole("hidden"), row.whole("heads"),
                            row.whole("sequence"), row.whole("vocabulary"));
  shape.kv_heads = row.whole("kv_heads", shape.heads);
  shape.ffn = row.whole("ffn", shape.ffn);
  const std::string style = row.text("style", "gpt");
  if (style == "llama") {
    shape.gated = true;
    shape.biases = shape.learned_positions = shape.tied_embedding = false;
  } else if (style == "mpt") {
    shape.biases = false;
  } else if (style != "gpt") {
    row.fail("style", fmt::format("'{}' is no style", style), "write gpt, llama, mpt or nothing");
  }
  shape.experts = row.whole("experts", 1);
  shape.experts_per_token = row.whole("experts_per_token", 1);
  return shape;
}

TransformerPlan read_plan(MeasuredRow& row) {
  TransformerPlan plan;
  plan.data = row.whole("data", 1);
  plan.tensor = row.whole("tensor", 1);
  plan.pipeline = row.whole("pipeline", 1);
  plan.context = row.whole("context", 1);
  plan.interleave = row.whole("interleave", 1);
  plan.sequence_parallel = row.flag("sequence_parallel");
  plan.shard = row.whole("shard", 0);
  plan.micro_batch = row.whole("micro_batch");
  plan.global_batch = row.whole("global_batch");
  plan.recompute = row.word("recompute", "none", &parse_recompute);
  plan.precision = row.word("precision", "bf16", &parse_train_precision);
  plan.attention = row.word("attention", "scores", &parse_attention_kernel);
  plan.overlap_data = row.flag("overlap_data");
  plan.overlap_tensor = row.flag("overlap_tensor");
  plan.gradient_bytes = row.whole("gradient_bytes", 2);
  return plan;
}

}  // namespace

Result<std::map<std::string, NodeSpec>> read_transformer_nodes(
    const std::string& path, std::span<const DeviceSpec> devices) {
  PLUTO_ASSIGN(const CsvTable table, read_table(path));
  std::map<std::string, NodeSpec> nodes;
  for (std::size_t i = 0; i < table.rows(); ++i) {
    MeasuredRow row(table, i, path);
    const std::string name = row.text("device");
    const auto device = std::ranges::find(devices, name, &DeviceSpec::name);
    if (device == devices.end())
      row.fail("device", fmt::format("'{}' is not in the catalog", name),
               "pluto-plan catalog --devices lists them");
    NodeSpec node;
    node.devices = row.whole("devices_per_node");
    node.intra = {"inside the node", Seconds(row.positive("intra_alpha_us") * kMicro),
                  BytesPerSecond(row.positive("intra_GBps") * kGiga)};
    node.network = {"network", Seconds(row.positive("network_alpha_us") * kMicro),
                    BytesPerSecond(row.positive("network_GBps") * kGiga), node.devices};
    PLUTO_TRY(row.finish());
    node.device = *device;
    nodes[row.text("cluster")] = node;
  }
  return nodes;
}

Result<std::vector<TransformerRow>> read_transformer_points(
    const std::string& path, const std::map<std::string, NodeSpec>& nodes) {
  PLUTO_ASSIGN(const CsvTable table, read_table(path));
  for (const auto& column : table.columns()) {
    if (std::ranges::find(kColumns, column) == kColumns.end()) {
      return invalid_input(fmt::format("{}:1: unknown column '{}'", path, column),
                           fmt::format("columns: {}", fmt::join(kColumns, " ")));
    }
  }
  std::vector<TransformerRow> rows;
  for (std::size_t i = 0; i < table.rows(); ++i) {
    MeasuredRow row(table, i, path);
    TransformerRow one;
    one.line = row.line();
    one.point.shape = read_shape(row);
    one.point.plan = read_plan(row);
    one.point.step = Seconds(row.number("step_s", 0.0));
    one.memory = gibibytes(row.number("memory_GiB", 0.0));
    one.allocated = gibibytes(row.number("allocated_GiB", 0.0));
    const std::string outcome = row.text("outcome", "ran");
    if (outcome != "ran" && outcome != "oom") {
      row.fail("outcome", fmt::format("'{}' is no outcome", outcome), "write oom, ran or nothing");
    }
    one.out_of_memory = outcome == "oom";
    one.cluster = row.text("cluster");
    one.note = row.text("note");
    one.source = row.text("source");
    const auto node = nodes.find(one.cluster);
    if (node == nodes.end())
      row.fail("cluster", unknown_cluster(one.cluster), known_clusters(nodes));
    PLUTO_TRY(row.finish());
    PLUTO_TRY_AT(row.place(), check(one.point.shape, one.point.plan));
    one.point.cluster.instance.name = one.cluster;
    one.point.cluster.instance.node = node->second;
    const int devices = node->second.devices;
    one.point.cluster.nodes = (one.point.plan.devices() + devices - 1) / devices;
    rows.push_back(std::move(one));
  }
  return rows;
}

}  // namespace pluto
