#include "cli/search_inputs.h"

#include <fmt/format.h>

#include <map>

#include "base/fingerprint.h"
#include "base/text.h"
#include "plan/job_document.h"

namespace pluto {

namespace {

const char* kind_text(LawKind kind) {
  switch (kind) {
    case LawKind::kFixed:
      return "fixed";
    case LawKind::kStated:
      return "stated";
    case LawKind::kFamily:
      return "family";
    case LawKind::kPoints:
      return "points";
    case LawKind::kNoiseScale:
      return "noise_scale";
  }
  return "?";
}

/// A file of the data folder with what it says of itself.
Result<Value> file_value(const std::string& folder, const char* name) {
  PLUTO_ASSIGN(const std::string text, read_file(folder + "/" + name));
  Value value = Value::object();
  value.set("file", name).set("fingerprint", Fingerprint().add(text).hex());
  if (!std::string_view(name).ends_with(".json")) return value;
  PLUTO_ASSIGN(const Value document, parse_json(text, name));
  for (const char* key : {"about", "source"}) {
    const Value* words = document.find(key);
    if (words != nullptr && words->is_string()) value.set("source", *words);
  }
  return value;
}

Result<Value> constants_value(const Session& session, const Searched& s) {
  std::vector<const char*> names = {"convergence.json", "catalog/cloud_prices.csv",
                                    "catalog/gpu_specs.csv", "catalog/links.csv",
                                    "catalog/run_overheads.json"};
  if (s.shape) {
    names.push_back("transformer.json");
  } else {
    for (const char* name : {"efficiency.json", "op_surfaces.json", "interference.json",
                             "frameworks.json", "nccl.json"}) {
      names.push_back(name);
    }
  }
  Value files = Value::array();
  for (const char* name : names) {
    PLUTO_ASSIGN(Value file, file_value(session.data_folder, name));
    files.push_back(std::move(file));
  }
  return files;
}

Value costs_value(const Searched& s) {
  Value value = Value::object();
  value.set("priced_by", s.shape ? "closed form" : "simulator");
  Value basis = Value::array();
  for (const std::string& line : s.cost_basis) basis.push_back(line);
  value.set("basis", std::move(basis));
  std::int64_t watermark = 0;
  for (const RankedPlan& plan : s.result.ranked) {
    watermark = std::max(watermark, plan.prediction.watermark);
  }
  value.set("watermark", watermark);
  return value;
}

}  // namespace

Value to_value(const SamplesLaw& law) {
  Value value = Value::object();
  value.set("kind", kind_text(law.kind)).set("source", law.source);
  if (law.kind != LawKind::kFixed) {
    value.set("critical_batch", law.critical_batch).set("exponent", law.exponent);
  }
  if (law.kind == LawKind::kNoiseScale) {
    value.set("noise_batch", law.noise_batch)
        .set("noise_factor", law.noise_factor)
        .set("noise_reach", law.noise_reach);
  }
  Value points = Value::array();
  for (const BatchPoint& point : law.points) {
    Value one = Value::object();
    one.set("batch", point.batch)
        .set("samples", point.samples)
        .set("spread", point.spread)
        .set("runs", point.runs);
    points.push_back(std::move(one));
  }
  value.set("points", std::move(points));
  const ConvergenceSpreads& s = law.spreads;
  Value spreads = Value::object();
  for (const auto& [name, spread] :
       {std::pair("seed", s.seed), std::pair("interpolated", s.interpolated),
        std::pair("next_batch", s.next_batch), std::pair("far", s.far),
        std::pair("noise_scale", s.noise_scale), std::pair("prior", s.prior),
        std::pair("transfer", s.transfer)}) {
    spreads.set(name, spread);
  }
  value.set("spreads", std::move(spreads));
  return value;
}

Result<Value> inputs_value(const Session& session, const SearchOptions& options, const Searched& s,
                           const std::vector<const RankedPlan*>& plans) {
  const TrainingJob& job = s.context.job;
  Value settings = Value::array();
  for (const std::string& setting : options.settings) settings.push_back(setting);
  Value model = Value::object();
  model.set("source", job.model.source)
      .set("parameters", parameter_count(s.context.model().graph))
      .set("fingerprint", to_hex(s.context.model().graph.fingerprint()));
  Value dataset = Value::object();
  dataset.set("source", job.data.source).set("samples", s.context.dataset_samples);
  std::map<std::string, const InstanceType*> instances;
  for (const RankedPlan* one : plans) {
    instances.emplace(one->plan.cluster.instance.name, &one->plan.cluster.instance);
  }
  Value offered = Value::array();
  for (const auto& [name, instance] : instances) offered.push_back(to_value(*instance));
  PLUTO_ASSIGN(Value constants, constants_value(session, s));
  Value value = Value::object();
  value.set("job", to_value(job))
      .set("settings", std::move(settings))
      .set("model", std::move(model))
      .set("dataset", std::move(dataset))
      .set("instances", std::move(offered))
      .set("convergence", job.samples_law ? to_value(*job.samples_law) : Value())
      .set("costs", costs_value(s))
      .set("constants", std::move(constants));
  return value;
}

}  // namespace pluto
