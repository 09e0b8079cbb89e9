// inspect: what a model is, without training it.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "base/text.h"
#include "cli/commands.h"
#include "model/model_source.h"
#include "model/multiply_adds.h"
#include "model/op_schema.h"

namespace pluto {

namespace {

struct InspectOptions {
  std::string model;
  std::int64_t batch = 1;
  int top = 10;
};

struct OpRow {
  const Op* op;
  Flops flops;
  std::int64_t parameters;
};

Result<int> inspect(Session& session, const InspectOptions& options) {
  PLUTO_ASSIGN(const ImportedModel imported, load_model(options.model));
  const ModelGraph& model = imported.model;
  const Graph& graph = model.graph;
  Flops total;
  Bytes activations;
  std::vector<OpRow> rows;
  for (const Op& op : graph.ops()) {
    const Flops flops = op_work(graph, op, options.batch).flops;
    total += flops;
    std::int64_t parameters = 0;
    for (const TensorId id : op.inputs) {
      if (graph.tensor(id).role == TensorRole::kParameter)
        parameters += graph.tensor(id).type.shape.elements();
    }
    for (const TensorId id : op.outputs) activations += graph.tensor(id).type.bytes(options.batch);
    rows.push_back({&op, flops, parameters});
  }
  const double macs = multiply_adds(graph);
  const std::int64_t parameters = parameter_count(graph);
  std::stable_sort(rows.begin(), rows.end(),
                   [](const OpRow& a, const OpRow& b) { return a.flops > b.flops; });

  Terminal& terminal = *session.terminal;
  terminal.say(fmt::format("{}  ({})", model.name, imported.origin));
  terminal.say(
      fmt::format("  parameters           {} ({})", parameters, to_text(Bytes(parameters * 4))));
  terminal.say(fmt::format(
      "  forward              {:.4f} GMAC per sample in convolutions, products and recurrences",
      macs / 1e9));
  terminal.say(
      fmt::format("  forward, batch {:<5} {}, every op counted", options.batch, to_text(total)));
  terminal.say(fmt::format("  activations          {} at batch {}, nothing reused",
                           to_text(activations), options.batch));
  terminal.say(fmt::format("  ops                  {}", graph.ops().size()));
  for (const TensorId id : model.inputs) {
    terminal.say(fmt::format("  input                {}  {} {}", graph.tensor(id).name,
                             to_text(graph.tensor(id).type.shape),
                             to_text(graph.tensor(id).type.dtype)));
  }
  terminal.say("");
  std::vector<std::vector<std::string>> table = {
      {"op", "kind", "output", "GFLOP", "share", "parameters", "factors"}};
  Value list = Value::array();
  for (std::size_t i = 0; i < rows.size() && i < static_cast<std::size_t>(options.top); ++i) {
    const OpRow& row = rows[i];
    const bool factors = row.op->kind == OpKind::kLinear;
    const std::string shape = to_text(graph.tensor(row.op->outputs.front()).type.shape);
    table.push_back({row.op->name, to_text(row.op->kind), shape,
                     fmt::format("{:.4f}", row.flops.value() / 1e9),
                     fmt::format("{:.1f} %", 100 * (row.flops / total)),
                     std::to_string(row.parameters), factors ? "yes" : "-"});
    Value one = Value::object();
    one.set("op", row.op->name)
        .set("kind", to_text(row.op->kind))
        .set("output", shape)
        .set("flops", row.flops.value());
    one.set("parameters", row.parameters).set("sufficient_factors", factors);
    list.push_back(std::move(one));
  }
  terminal.say(format_table(table));
  for (const std::string& warning : imported.warnings) terminal.note("warning: " + warning);

  Value document = Value::object();
  document.set("schema", "pluto.inspect/1").set("model", model.name).set("origin", imported.origin);
  document.set("parameters", parameters).set("macs_per_sample", macs).set("batch", options.batch);
  document.set("forward_flops", total.value())
      .set("activation_bytes", activations.value())
      .set("ops", graph.ops().size());
  Value warnings = Value::array();
  for (const std::string& warning : imported.warnings) warnings.push_back(warning);
  document.set("largest", std::move(list)).set("warnings", std::move(warnings));
  terminal.result(document);
  return 0;
}

}  // namespace

void add_inspect(CLI::App& app, Session& session) {
  auto options = std::make_shared<InspectOptions>();
  CLI::App* verb = app.add_subcommand("inspect", "Parameters, FLOPs and largest layers of a model");
  verb->footer(
      "Examples:\n  pluto-plan inspect resnet50\n  pluto-plan inspect model.onnx --batch 32\n  "
      "pluto-plan inspect config.json");
  verb->add_option("model", options->model,
                   "Name of a built-in model, an .onnx file, or a Hugging Face config.json")
      ->required();
  verb->add_option("--batch", options->batch, "Samples per batch")->check(CLI::PositiveNumber);
  verb->add_option("--top", options->top, "Rows of the table")->check(CLI::PositiveNumber);
  verb->callback([&session, options] {
    session.action = [&session, options] { return inspect(session, *options); };
  });
}

}  // namespace pluto
