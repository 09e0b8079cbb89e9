#include "planner/convergence_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/csv.h"
#include "base/document.h"
#include "base/text.h"
#include "planner/batch_law.h"

namespace pluto {

namespace {

Result<double> positive(ObjectReader& reader, std::string_view key) {
  PLUTO_ASSIGN(const double number, reader.number(key));
  if (!(number > 0)) return reader.error(key, "must be above zero");
  return number;
}

template <class Read>
Result<void> read_section(ObjectReader& root, std::string_view key, Read read) {
  PLUTO_ASSIGN(const Value* value, root.object(key));
  PLUTO_ASSIGN(ObjectReader section, ObjectReader::open(*value, root.place(key)));
  PLUTO_TRY(section.string("source"));
  PLUTO_TRY(read(section));
  return section.finish();
}

Result<ConvergenceFamily> read_family(const Value& value, const std::string& place) {
  PLUTO_ASSIGN(auto reader, ObjectReader::open(value, place));
  ConvergenceFamily family;
  PLUTO_ASSIGN(family.critical_batch, positive(reader, "critical_batch"));
  PLUTO_ASSIGN(family.exponent, positive(reader, "exponent"));
  PLUTO_ASSIGN(family.seed_spread, reader.number("seed_spread"));
  PLUTO_ASSIGN(family.source, reader.string("source"));
  PLUTO_ASSIGN(const std::string unit, reader.string("unit"));
  family.epochs = unit == "epochs";
  for (const char* key : {"task", "optimizer"}) PLUTO_TRY(reader.string(key));
  PLUTO_TRY(reader.number("rms"));
  for (const char* key : {"critical_batch_low", "critical_batch_high"}) {
    PLUTO_TRY(reader.optional_number(key));
  }
  if (reader.optional("models") != nullptr) {
    PLUTO_ASSIGN(const Value::Array* models, reader.array("models"));
    for (const Value& model : *models) {
      if (!model.is_string()) return reader.error("models", "expected names");
      family.models.push_back(model.as_string());
    }
  }
  PLUTO_ASSIGN(const Value::Array* points, reader.array("points"));
  for (const Value& entry : *points) {
    PLUTO_ASSIGN(auto point, ObjectReader::open(entry, reader.place("points")));
    BatchPoint one;
    PLUTO_ASSIGN(one.batch, point.integer("batch"));
    PLUTO_ASSIGN(one.samples, positive(point, "samples"));
    PLUTO_ASSIGN(one.spread, point.number("spread"));
    PLUTO_ASSIGN(const std::int64_t runs, point.integer("runs"));
    one.runs = static_cast<int>(runs);
    PLUTO_TRY(point.number("learning_rate"));
    PLUTO_TRY(point.finish());
    if (!family.points.empty() && one.batch <= family.points.back().batch) {
      return reader.error("points", "must be in rising order of batch");
    }
    family.points.push_back(one);
  }
  if (family.points.size() < 2) return reader.error("points", "needs two batches");
  PLUTO_TRY(reader.finish());
  return family;
}

/// Runs with one batch, as one point.
BatchPoint merged(const std::vector<BatchPoint>& runs) {
  if (runs.size() == 1) return runs.front();
  BatchPoint point{runs.front().batch, 0, 0, 0};
  for (const BatchPoint& run : runs) {
    point.samples += run.samples * run.runs;
    point.runs += run.runs;
  }
  point.samples /= point.runs;
  double squares = 0;
  for (const BatchPoint& run : runs) {
    const double away = std::log(run.samples / point.samples);
    squares += run.runs * (away * away + run.spread * run.spread);
  }
  point.spread = std::sqrt(squares / std::max(1, point.runs - 1));
  return point;
}

Result<BatchPoint> read_point(const CsvTable& table, std::size_t row, const char* amount,
                              const std::string& source) {
  const auto wrong = [&](const std::string& column, const std::string& wanted) {
    return invalid_input(fmt::format("{}:{}: {}: \"{}\" is not {}", source, table.line(row), column,
                                     table.text(row, column).value_or(""), wanted));
  };
  constexpr double kMostBatch = 1e15;
  BatchPoint point;
  const auto batch = table.number(row, "batch");
  if (!batch || !(*batch >= 1) || *batch > kMostBatch || std::floor(*batch) != *batch) {
    return wrong("batch", "a whole number of samples, at least 1");
  }
  point.batch = static_cast<std::int64_t>(*batch);
  const auto samples = table.number(row, amount);
  if (!samples || !(*samples > 0)) return wrong(amount, "a number above zero");
  point.samples = *samples;
  if (table.text(row, "runs")) {
    const auto runs = table.number(row, "runs");
    constexpr double kMostRuns = 1e6;
    if (!runs || !(*runs >= 1) || *runs > kMostRuns || std::floor(*runs) != *runs) {
      return wrong("runs", "a whole number, at least 1");
    }
    point.runs = static_cast<int>(*runs);
  }
  if (table.text(row, "spread")) {
    const auto spread = table.number(row, "spread");
    if (!spread || !(*spread >= 0 && *spread < 1)) {
      return wrong("spread", "a relative standard deviation, 0 or more and below 1");
    }
    point.spread = *spread;
  }
  return point;
}

/// The family whose models name the job's.
Result<std::string> family_of(const std::string& model, const ConvergenceTable& table) {
  std::vector<std::string> names;
  for (const auto& [name, family] : table.families) {
    if (std::ranges::count(family.models, model) > 0) return name;
    names.push_back(name);
  }
  return invalid_input(
      fmt::format("convergence.source: auto knows nothing of {}", model),
      fmt::format("give critical_batch, noise_scale, a file of points, or name a task that is "
                  "alike: {}",
                  fmt::join(names, ", ")));
}

/// "resnet accuracy 0.759, bert ..."
std::string known_targets(const ConvergenceTable& table) {
  std::vector<std::string> texts;
  for (const auto& [name, family] : table.families) {
    if (!family.target) continue;
    texts.push_back(fmt::format("{} {} {}", name, family.target->name, family.target->value));
  }
  return fmt::format("{}", fmt::join(texts, ", "));
}

Result<void> check_target(const TargetMetric& wanted, const std::string& name,
                          const ConvergenceTable& table) {
  const auto& known = table.families.at(name).target;
  if (known == wanted) return {};
  const std::string is = known ? fmt::format("is known for {} {}", known->name, known->value)
                               : std::string("has no metric that is known");
  return invalid_input(
      fmt::format("target: {} {}: convergence of {} {}", wanted.name, wanted.value, name, is),
      fmt::format("known: {}; own runs to another value: convergence: {{source: points.csv}}; or "
                  "give epochs, samples or steps",
                  known_targets(table)));
}

/// The length of training to the metric, at the batch that the job states lengths for.
Result<void> set_length(TrainingJob& job, bool epochs) {
  if (!job.target_metric) return {};
  const SamplesLaw& law = *job.samples_law;
  const BatchPoint& first = law.points.front();
  const auto batch = job.learning_rate_batch ? job.learning_rate_batch : job.global_batch;
  if (!batch) {
    return invalid_input("target: to which batch the length belongs is not said",
                         "give learning_rate.at_batch");
  }
  const double amount =
      first.samples *
      estimate_samples(law, static_cast<double>(*batch), static_cast<double>(first.batch)).ratio;
  job.epochs.reset();
  job.target_samples.reset();
  job.target_steps.reset();
  if (epochs) {
    job.epochs = amount;
  } else {
    job.target_samples = std::llround(amount);
  }
  return {};
}

/// Whether a file of points counts epochs.
Result<bool> counts_epochs(const std::string& path) {
  PLUTO_ASSIGN(const std::string text, read_file(path));
  PLUTO_ASSIGN(const CsvTable table, CsvTable::parse(text, path));
  return std::ranges::count(table.columns(), "epochs") > 0;
}

}  // namespace

Result<ConvergenceTable> load_convergence_table(const std::string& path) {
  PLUTO_ASSIGN(const Value document, read_document(path));
  PLUTO_ASSIGN(auto reader, ObjectReader::open(document, path));
  PLUTO_ASSIGN(const auto schema, reader.integer("schema"));
  if (schema != 1) return reader.error("schema", fmt::format("{} is not supported", schema));
  PLUTO_TRY(reader.string("about"));
  ConvergenceTable table;
  PLUTO_TRY(read_section(reader, "spreads", [&](ObjectReader& section) -> Result<void> {
    ConvergenceSpreads& spreads = table.spreads;
    for (const auto& [key, into] :
         {std::pair("seed", &spreads.seed), std::pair("interpolated", &spreads.interpolated),
          std::pair("next_batch", &spreads.next_batch), std::pair("far", &spreads.far),
          std::pair("noise_scale", &spreads.noise_scale), std::pair("prior", &spreads.prior),
          std::pair("transfer", &spreads.transfer)}) {
      PLUTO_ASSIGN(*into, positive(section, key));
    }
    return {};
  }));
  PLUTO_TRY(read_section(reader, "fit", [&](ObjectReader& section) -> Result<void> {
    PLUTO_ASSIGN(table.fit.point_spread, positive(section, "point_spread"));
    PLUTO_ASSIGN(table.fit.exponent_mean, positive(section, "exponent_mean"));
    PLUTO_ASSIGN(table.fit.exponent_spread, positive(section, "exponent_spread"));
    return {};
  }));
  PLUTO_TRY(read_section(reader, "noise_scale", [&](ObjectReader& section) -> Result<void> {
    PLUTO_ASSIGN(table.noise_factor, positive(section, "factor"));
    PLUTO_ASSIGN(table.noise_reach, positive(section, "reach"));
    if (table.noise_factor < 1) return section.error("factor", "must be at least 1");
    if (!(table.noise_reach > 1)) return section.error("reach", "must be above 1");
    return {};
  }));
  PLUTO_TRY(read_section(reader, "learning_rate", [&](ObjectReader& section) -> Result<void> {
    PLUTO_ASSIGN(table.lars_exponent, positive(section, "lars_exponent"));
    PLUTO_ASSIGN(table.band_exponent, positive(section, "band_exponent"));
    return {};
  }));
  std::map<std::string, TargetMetric> targets;
  PLUTO_TRY(read_section(reader, "targets", [&](ObjectReader& section) -> Result<void> {
    PLUTO_ASSIGN(const Value* known, section.object("known"));
    for (const auto& [name, value] : known->as_object()) {
      PLUTO_ASSIGN(auto target, ObjectReader::open(value, section.place("known." + name)));
      PLUTO_ASSIGN(targets[name].name, target.string("metric"));
      PLUTO_ASSIGN(targets[name].value, positive(target, "value"));
      PLUTO_TRY(target.finish());
    }
    return {};
  }));
  PLUTO_ASSIGN(const Value* families, reader.object("families"));
  PLUTO_TRY(reader.finish());
  for (const auto& [name, value] : families->as_object()) {
    PLUTO_ASSIGN(table.families[name],
                 read_family(value, fmt::format("{}: families.{}", path, name)));
  }
  for (const auto& [name, target] : targets) {
    const auto family = table.families.find(name);
    if (family == table.families.end()) {
      return invalid_input(
          fmt::format("{}: targets.known.{}: there is no such family", path, name));
    }
    family->second.target = target;
  }
  return table;
}

Result<std::vector<BatchPoint>> parse_convergence_points(std::string_view text,
                                                         const std::string& source) {
  PLUTO_ASSIGN(const CsvTable table, CsvTable::parse(text, source));
  const auto& columns = table.columns();
  const bool samples = std::ranges::count(columns, "samples") > 0;
  const bool epochs = std::ranges::count(columns, "epochs") > 0;
  constexpr const char* kExample = "for example a first line: batch,epochs,runs,spread";
  for (const std::string& column : columns) {
    const std::vector<std::string> known = {"batch", "samples", "epochs", "runs", "spread"};
    if (std::ranges::count(known, column) > 0) continue;
    return invalid_input(fmt::format("{}:1: unknown column \"{}\"", source, column),
                         "columns: batch, samples or epochs, runs, spread");
  }
  if (std::ranges::count(columns, "batch") == 0) {
    return invalid_input(fmt::format("{}:1: there is no column batch", source), kExample);
  }
  if (samples == epochs) {
    return invalid_input(fmt::format("{}:1: {}", source,
                                     samples ? "both samples and epochs are there"
                                             : "there is neither a column samples nor epochs"),
                         kExample);
  }
  std::map<std::int64_t, std::vector<BatchPoint>> by_batch;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    PLUTO_ASSIGN(const BatchPoint point,
                 read_point(table, row, samples ? "samples" : "epochs", source));
    by_batch[point.batch].push_back(point);
  }
  std::vector<BatchPoint> points;
  for (const auto& [batch, runs] : by_batch) points.push_back(merged(runs));
  return points;
}

Result<std::vector<BatchPoint>> read_convergence_points(const std::string& path) {
  PLUTO_ASSIGN(const std::string text, read_file(path));
  return parse_convergence_points(text, path);
}

Result<SamplesLaw> law_of_points(std::vector<BatchPoint> points, const ConvergenceTable& table,
                                 std::string source) {
  PLUTO_ASSIGN_AT(source, const ConvergenceFit fit, fit_convergence(points, table.fit));
  SamplesLaw law;
  law.kind = LawKind::kPoints;
  law.critical_batch = fit.critical_batch;
  law.exponent = fit.exponent;
  law.spreads = table.spreads;
  double squares = 0;
  int freedom = 0;
  for (const BatchPoint& point : points) {
    if (point.spread == 0) continue;
    squares += point.spread * point.spread * point.runs;
    freedom += point.runs;
  }
  if (freedom > 0) law.spreads.seed = std::sqrt(squares / freedom);
  law.points = std::move(points);
  law.source = std::move(source);
  return law;
}

SamplesLaw law_of_family(const ConvergenceTable& table, const std::string& name) {
  const ConvergenceFamily& family = table.families.at(name);
  SamplesLaw law;
  law.kind = LawKind::kFamily;
  law.critical_batch = family.critical_batch;
  law.exponent = family.exponent;
  law.points = family.points;
  law.spreads = table.spreads;
  law.spreads.seed = std::max(law.spreads.seed, family.seed_spread);
  law.source = "MLPerf " + name;
  return law;
}

Result<void> look_up_convergence(TrainingJob& job, const ConvergenceTable& table) {
  job.lars_exponent = table.lars_exponent;
  job.band_exponent = table.band_exponent;
  const ConvergenceChoice& choice = job.convergence;
  if (!choice.given()) return {};
  if (choice.noise_scale) {
    SamplesLaw law;
    law.kind = LawKind::kNoiseScale;
    law.critical_batch = *choice.noise_scale;
    law.noise_batch = *choice.noise_scale_batch;
    law.noise_factor = table.noise_factor;
    law.noise_reach = table.noise_reach;
    law.spreads = table.spreads;
    law.source = fmt::format("noise scale {:.4g} at batch {}", law.critical_batch, law.noise_batch);
    job.samples_law = std::move(law);
    return {};
  }
  if (choice.critical_batch || choice.source == "fixed") {
    job.samples_law.reset();
    PLUTO_ASSIGN(job.samples_law, law_of(job));
    job.samples_law->spreads = table.spreads;
    return {};
  }
  if (choice.source.ends_with(".csv")) {
    PLUTO_ASSIGN_AT("convergence.source", auto points, read_convergence_points(choice.source));
    PLUTO_ASSIGN_AT("convergence.source", job.samples_law,
                    law_of_points(std::move(points), table, choice.source));
    PLUTO_ASSIGN_AT("convergence.source", const bool epochs, counts_epochs(choice.source));
    return set_length(job, epochs);
  }
  std::string name = choice.source;
  if (name == "auto") {
    PLUTO_ASSIGN(name, family_of(job.model.source, table));
  }
  if (!table.families.contains(name)) {
    std::vector<std::string> names{"auto", "fixed"};
    for (const auto& [known, family] : table.families) names.push_back(known);
    const auto near = nearest_word(name, names);
    return invalid_input(
        fmt::format("convergence.source: unknown family \"{}\"", name),
        near ? fmt::format("did you mean \"{}\"?", *near)
             : fmt::format("known: {}; or a file of points, x.csv", fmt::join(names, ", ")));
  }
  if (job.target_metric) PLUTO_TRY(check_target(*job.target_metric, name, table));
  job.samples_law = law_of_family(table, name);
  return set_length(job, table.families.at(name).epochs);
}

}  // namespace pluto
