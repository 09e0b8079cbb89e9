// Fits the families of data/convergence.json to MLPerf's reference convergence points and prints
// how well the law predicts what it has not seen.
//
//   fit_convergence [--write]
//
// left out  each point from the others by the law; between: linear between its neighbours
// next      the largest batch from all smaller ones
// far       the largest batch from those of at most a quarter of it
// covered   share of those errors within the p10 to p90 of the spread that a plan would state
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "base/document.h"
#include "base/statistics.h"
#include "base/text.h"
#include "bench/convergence_tables.h"
#include "planner/batch_law.h"
#include "planner/convergence.h"
#include "planner/convergence_fit.h"
#include "planner/convergence_table.h"

namespace pluto::bench {
namespace {

constexpr std::size_t kFewest = 4;  // points of a table that is predicted in part
const std::string kData = PLUTO_SOURCE_DIR "/data";

double magnitude(double log) { return std::abs(std::expm1(log)); }
std::string percent(double share) { return fmt::format("{:.1f} %", 100 * share); }

double root_mean_square(const std::vector<double>& logs) {
  double squares = 0;
  for (const double log : logs) squares += log * log;
  return logs.empty() ? 0 : std::sqrt(squares / static_cast<double>(logs.size()));
}

/// Least squares of ln y on ln x.
double slope(const std::vector<BatchPoint>& points, const std::vector<double>& rates) {
  double n = 0, x = 0, y = 0, xx = 0, xy = 0;
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (!(rates[i] > 0)) continue;
    const double a = std::log(static_cast<double>(points[i].batch)), b = std::log(rates[i]);
    n += 1, x += a, y += b, xx += a * a, xy += a * b;
  }
  return n < 2 ? 0 : (n * xy - x * y) / (n * xx - x * x);
}

ConvergenceFitOptions options_of(const ConvergenceTask& task, ConvergenceFitOptions options) {
  if (task.exponent_mean) options.exponent_mean = *task.exponent_mean;
  return options;
}

std::string range_text(const FitRange& range) {
  return fmt::format("{}..{}", range.low ? fmt::format("{:.3g}", *range.low) : "?",
                     range.high ? fmt::format("{:.3g}", *range.high) : "?");
}

/// Errors of the rule that a target needs as many samples at every batch.
UnseenErrors constant_errors(const std::vector<BatchPoint>& points) {
  UnseenErrors errors;
  for (std::size_t i = 0; i < points.size(); ++i) {
    double logs = 0;
    for (std::size_t j = 0; j < points.size(); ++j)
      logs += j == i ? 0 : std::log(points[j].samples);
    errors.left_out.push_back(logs / static_cast<double>(points.size() - 1) -
                              std::log(points[i].samples));
  }
  const auto& last = points.back();
  errors.next.push_back(std::log(points[points.size() - 2].samples / last.samples));
  std::vector<BatchPoint> small = points;
  std::erase_if(small, [&](const auto& p) { return p.batch * 4 > last.batch; });
  if (small.size() >= 2) errors.far.push_back(std::log(small.back().samples / last.samples));
  return errors;
}

struct Totals {
  std::vector<double> in_sample, left_out, between, next, far;  // one per table, magnitudes
  void add(const UnseenErrors& errors) {
    const auto keep = [](const std::vector<double>& logs, std::vector<double>& into) {
      if (!logs.empty()) into.push_back(std::expm1(root_mean_square(logs)));
    };
    keep(errors.left_out, left_out);
    keep(errors.interpolated, between);
    for (const double log : errors.next) next.push_back(magnitude(log));
    for (const double log : errors.far) far.push_back(magnitude(log));
  }
};

std::string summary(const std::vector<double>& values) {
  if (values.empty()) return "-";
  double sum = 0;
  for (const double value : values) sum += value;
  return fmt::format("{:.1f} / {:.1f} / {:.0f} ({})", 100 * median(values),
                     100 * sum / static_cast<double>(values.size()),
                     100 * *std::ranges::max_element(values), values.size());
}

/// Within p10 to p90 of the spread that a plan would state at that batch.
bool covered(double error, double spread) {
  return std::abs(error) <= normal_quantile(0.9) * spread;
}

struct Coverage {
  int inside = 0, all = 0;
  void add(double error, double spread) {
    inside += covered(error, spread) ? 1 : 0;
    ++all;
  }
  std::string text() const { return fmt::format("{} of {}", inside, all); }
};

/// How many of a task's tuned rates lie in the band around what the rule of its optimizer makes of
/// the rate at its smallest batch.
Coverage rates_in_band(const ConvergenceTask& task, const ConvergenceFit& fit,
                       const ConvergenceTable& table) {
  SamplesLaw law{LawKind::kPoints, fit.critical_batch, fit.exponent, task.points};
  const auto reference = task.points.front().batch;
  Coverage coverage;
  for (std::size_t i = 1; i < task.points.size(); ++i) {
    const auto batch = task.points[i].batch;
    if (!(task.rates[i] > 0) || !(task.rates[0] > 0)) continue;
    const auto estimate =
        estimate_samples(law, static_cast<double>(batch), static_cast<double>(reference));
    const RateRule rule = task.optimizer == "lars"   ? RateRule::kLars
                          : task.optimizer == "lamb" ? RateRule::kLamb
                                                     : RateRule::kAuto;
    const OptimizerAttrs optimizer =
        task.optimizer == "sgd" ? OptimizerAttrs(SgdAttrs{}) : OptimizerAttrs(AdamAttrs{});
    const double factor =
        rate_factor({rule, estimate.ratio, fit.critical_batch, table.lars_exponent}, optimizer,
                    batch, reference);
    const RateBand band = rate_band(task.rates[0] * factor, batch, reference, table.band_exponent);
    coverage.inside += band.low <= task.rates[i] && task.rates[i] <= band.high ? 1 : 0;
    ++coverage.all;
  }
  return coverage;
}

/// A law of some points asked about one of the task's.
std::optional<double> spread_at(const std::vector<BatchPoint>& known, const BatchPoint& truth,
                                const BatchPoint& reference, const ConvergenceTable& table) {
  const auto law = law_of_points(known, table, "known");
  if (!law.ok()) return std::nullopt;
  return estimate_samples(*law, static_cast<double>(truth.batch),
                          static_cast<double>(reference.batch))
      .spread;
}

void add_coverage(const std::vector<BatchPoint>& points, const UnseenErrors& errors,
                  const ConvergenceTable& table, Coverage& between, Coverage& next, Coverage& far) {
  for (std::size_t i = 0; i < errors.interpolated.size(); ++i) {
    auto others = points;
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(i) + 1);
    if (const auto spread = spread_at(others, points[i + 1], points[i], table)) {
      between.add(errors.interpolated[i], *spread);
    }
  }
  const auto beyond = [&](std::vector<BatchPoint> known, const std::vector<double>& error,
                          Coverage& into) {
    if (error.empty()) return;
    const BatchPoint edge = known.back();
    if (const auto spread = spread_at(known, points.back(), edge, table)) {
      into.add(error.front(), *spread);
    }
  };
  beyond({points.begin(), points.end() - 1}, errors.next, next);
  auto small = points;
  std::erase_if(small, [&](const auto& p) { return p.batch * 4 > points.back().batch; });
  if (!errors.far.empty()) beyond(small, errors.far, far);
}

Value family_value(const ConvergenceTask& task, const ConvergenceFit& fit) {
  const auto rounded = [](double value) { return *parse_number(fmt::format("{:.4g}", value)); };
  Value points = Value::array();
  for (std::size_t i = 0; i < task.points.size(); ++i) {
    Value point = Value::object();
    point.set("batch", task.points[i].batch)
        .set("samples", *parse_number(fmt::format("{:.6g}", task.points[i].samples)))
        .set("spread", rounded(task.points[i].spread))
        .set("runs", task.points[i].runs)
        .set("learning_rate", rounded(task.rates[i]));
    points.push_back(std::move(point));
  }
  Value models = Value::array();
  for (const std::string& model : task.models) models.push_back(model);
  Value value = Value::object();
  value.set("task", task.task)
      .set("unit", task.unit)
      .set("optimizer", task.optimizer)
      .set("critical_batch", rounded(fit.critical_batch));
  if (fit.critical_batch_range.low) {
    value.set("critical_batch_low", rounded(*fit.critical_batch_range.low));
  }
  if (fit.critical_batch_range.high) {
    value.set("critical_batch_high", rounded(*fit.critical_batch_range.high));
  }
  value.set("exponent", rounded(fit.exponent))
      .set("rms", rounded(fit.rms))
      .set("seed_spread", rounded(task.seed_spread))
      .set("models", std::move(models))
      .set("points", std::move(points))
      .set("source", task.source);
  return value;
}

Result<void> write_families(Value families) {
  const std::string path = kData + "/convergence.json";
  PLUTO_ASSIGN(const Value old, read_document(path));
  Value document = Value::object();
  for (const auto& [key, value] : old.as_object()) {
    document.set(key, key == "families" ? families : value);
  }
  return write_file(path, to_json(document) + "\n");
}

Result<void> run(bool write) {
  PLUTO_ASSIGN(const auto table, load_convergence_table(kData + "/convergence.json"));
  PLUTO_ASSIGN(const auto tasks, read_convergence_tasks(kData + "/measured"));
  std::vector<std::vector<std::string>> rows = {{"family", "points", "batches", "Emin", "Bc",
                                                 "90 %", "p", "90 %", "rms", "left out", "between",
                                                 "next", "far", "rate ~ B^x", "in band", "seed"}};
  struct Law {
    const char* name;
    std::optional<double> exponent;
    Totals totals;
  };
  std::vector<Law> laws = {
      {"p fitted, 1.1 +- 0.25 before", {}, {}}, {"p = 1", 1.0, {}}, {"p = 1.1", 1.1, {}}};
  Totals constant;
  Coverage between, next, far, rates;
  std::vector<double> seeds;
  Value families = Value::object();
  for (const ConvergenceTask& task : tasks) {
    if (!task.left_out.empty()) {
      fmt::print("left out: {}: {}\n", task.family, task.left_out);
      continue;
    }
    const ConvergenceFitOptions options = options_of(task, table.fit);
    PLUTO_ASSIGN_AT(task.family, const ConvergenceFit fit, fit_convergence(task.points, options));
    families.set(task.family, family_value(task, fit));
    seeds.push_back(task.seed_spread);
    const bool predicted = task.points.size() >= kFewest;
    const UnseenErrors errors = predicted ? unseen_errors(task.points, options) : UnseenErrors{};
    const auto text = [](const std::vector<double>& logs) {
      return logs.empty()       ? "-"
             : logs.size() == 1 ? fmt::format("{:+.1f} %", 100 * std::expm1(logs.front()))
                                : percent(std::expm1(root_mean_square(logs)));
    };
    const Coverage in_band = rates_in_band(task, fit, table);
    rates.inside += in_band.inside;
    rates.all += in_band.all;
    rows.push_back({task.family, std::to_string(task.points.size()),
                    fmt::format("{}..{}", task.points.front().batch, task.points.back().batch),
                    fmt::format("{:.4g} {}", fit.least_samples, task.unit),
                    fmt::format("{:.4g}", fit.critical_batch), range_text(fit.critical_batch_range),
                    fmt::format("{:.2f}", fit.exponent), range_text(fit.exponent_range),
                    percent(fit.rms), text(errors.left_out), text(errors.interpolated),
                    text(errors.next), text(errors.far),
                    fmt::format("{:.2f}", slope(task.points, task.rates)), in_band.text(),
                    percent(task.seed_spread)});
    for (Law& law : laws) {
      ConvergenceFitOptions own = options;
      own.exponent = law.exponent;
      PLUTO_ASSIGN(const ConvergenceFit other, fit_convergence(task.points, own));
      law.totals.in_sample.push_back(other.rms);
      if (predicted) law.totals.add(unseen_errors(task.points, own));
    }
    if (!predicted) continue;
    constant.add(constant_errors(task.points));
    add_coverage(task.points, errors, table, between, next, far);
  }
  fmt::print("\n{}\n", format_table(rows));
  std::vector<std::vector<std::string>> compared = {
      {"law: median / mean / most, % (tables)", "in sample", "left out", "between", "next", "far"}};
  for (const Law& law : laws) {
    compared.push_back({law.name, summary(law.totals.in_sample), summary(law.totals.left_out),
                        summary(law.totals.between), summary(law.totals.next),
                        summary(law.totals.far)});
  }
  compared.push_back({"as many epochs at every batch", "-", summary(constant.left_out), "-",
                      summary(constant.next), summary(constant.far)});
  fmt::print("{}\n", format_table(compared));
  fmt::print("covered by p10 to p90: between {}, next {}, far {}; seed spread, median {}\n",
             between.text(), next.text(), far.text(), percent(median(seeds)));
  fmt::print("tuned rates in the band of B^+-{} around the rule from the smallest batch: {}\n",
             table.band_exponent, rates.text());
  if (!write) return {};
  PLUTO_TRY(write_families(std::move(families)));
  fmt::print("wrote {}/convergence.json\n", kData);
  return {};
}

}  // namespace
}  // namespace pluto::bench

int main(int argc, char** argv) {
  const bool write = argc == 2 && std::string(argv[1]) == "--write";
  if (argc > 1 && !write) {
    std::fprintf(stderr, "usage: fit_convergence [--write]\n");
    return 2;
  }
  const auto done = pluto::bench::run(write);
  if (done.ok()) return 0;
  std::fprintf(stderr, "error: %s\n", done.error().message.c_str());
  return 1;
}
