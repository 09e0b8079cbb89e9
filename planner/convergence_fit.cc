#include "planner/convergence_fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <set>

#include "base/statistics.h"
#include "planner/convergence.h"

namespace pluto {

namespace {

constexpr double kBelow = 100, kAbove = 300;  // searched around the points, in batches
constexpr double kExponentLow = 0.2, kExponentHigh = 3;
constexpr int kExponents = 57, kMembers = 17, kSections = 60;
constexpr double kCoverage = 0.95;  // of one side

struct Trial {
  double log_critical = 0, log_least = 0, loss = std::numeric_limits<double>::infinity();
};

struct Problem {
  std::vector<double> batches, logs, weights;
  double weight = 0;         // sum of weights
  double low = 0, high = 0;  // of ln Bc

  Trial at(double log_critical, double exponent) const {
    Trial trial{log_critical, 0, 0};
    std::vector<double> rest(batches.size());
    for (std::size_t i = 0; i < rest.size(); ++i) {
      rest[i] = logs[i] - std::log1p(std::exp(exponent * (std::log(batches[i]) - log_critical)));
      trial.log_least += weights[i] * rest[i] / weight;
    }
    for (std::size_t i = 0; i < rest.size(); ++i) {
      trial.loss += weights[i] * (rest[i] - trial.log_least) * (rest[i] - trial.log_least);
    }
    return trial;
  }

  /// The best ln Bc for an exponent: the best of a coarse grid, then golden section around it.
  Trial best(double exponent) const {
    constexpr int kGrid = 48;
    Trial best;
    for (int i = 0; i <= kGrid; ++i) {
      const Trial trial = at(low + (high - low) * i / kGrid, exponent);
      if (trial.loss < best.loss) best = trial;
    }
    const double step = (high - low) / kGrid;
    double left = std::max(low, best.log_critical - step);
    double right = std::min(high, best.log_critical + step);
    const double golden = 1 / std::numbers::phi;
    for (int i = 0; i < kSections; ++i) {
      const double a = right - golden * (right - left), b = left + golden * (right - left);
      if (at(a, exponent).loss < at(b, exponent).loss) {
        right = b;
      } else {
        left = a;
      }
    }
    const Trial refined = at((left + right) / 2, exponent);
    return refined.loss < best.loss ? refined : best;
  }

  /// From `from`, where the loss is within `limit`, towards `to`: where it leaves it.
  double leaves(double from, double to, double exponent, double limit) const {
    if (at(to, exponent).loss <= limit) return to;
    for (int i = 0; i < kSections; ++i) {
      const double middle = (from + to) / 2;
      (at(middle, exponent).loss <= limit ? from : to) = middle;
    }
    return from;
  }
};

/// Student's quantile. Formula: exact for 1 and 2 degrees of freedom, else the expansion of
/// Abramowitz and Stegun 1964, 26.7.5 (below 0.3 % off from 3 degrees on).
double student_quantile(double p, double freedom) {
  if (freedom <= 1) return std::tan(std::numbers::pi * (p - 0.5));
  if (freedom <= 2) return (2 * p - 1) / std::sqrt(2 * p * (1 - p));
  const double z = normal_quantile(p), z3 = z * z * z, z5 = z3 * z * z, z7 = z5 * z * z;
  return z + (z3 + z) / (4 * freedom) + (5 * z5 + 16 * z3 + 3 * z) / (96 * freedom * freedom) +
         (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * freedom * freedom * freedom);
}

Problem problem_of(std::span<const BatchPoint> points, const ConvergenceFitOptions& options) {
  Problem problem;
  for (const BatchPoint& point : points) {
    problem.batches.push_back(static_cast<double>(point.batch));
    problem.logs.push_back(std::log(point.samples));
    const double seed = point.spread * point.spread / std::max(1, point.runs);
    problem.weights.push_back(1 / (options.point_spread * options.point_spread + seed));
    problem.weight += problem.weights.back();
  }
  const auto [least, most] = std::ranges::minmax_element(problem.batches);
  problem.low = std::log(*least / kBelow);
  problem.high = std::log(*most * kAbove);
  return problem;
}

std::vector<double> exponents_of(const ConvergenceFitOptions& options) {
  if (options.exponent) return {*options.exponent};
  std::vector<double> exponents{options.exponent_mean};
  for (int i = 0; i < kExponents; ++i) {
    exponents.push_back(kExponentLow + (kExponentHigh - kExponentLow) * i / (kExponents - 1));
  }
  std::ranges::sort(exponents);
  return exponents;
}

/// What `of` spans over the members; a side that only the limits of the search hold is not bounded.
template <class Of>
FitRange range_of(const std::vector<ConvergenceFit::Member>& members, Of of) {
  FitRange range;
  for (const auto& member : members) {
    const auto [low, high] = of(member);
    range.low = std::min(range.low.value_or(low), low);
    range.high = std::max(range.high.value_or(high), high);
  }
  return range;
}

void add_ranges(ConvergenceFit& fit, const Problem& problem, bool exponent_fixed) {
  fit.least_samples_range = range_of(fit.members, [](const auto& member) {
    return std::pair(std::exp(member.log_least - member.slack),
                     std::exp(member.log_least + member.slack));
  });
  fit.critical_batch_range = range_of(fit.members, [](const auto& member) {
    return std::pair(std::exp(member.log_critical), std::exp(member.log_critical));
  });
  fit.exponent_range = range_of(
      fit.members, [](const auto& member) { return std::pair(member.exponent, member.exponent); });
  // Where Bc can be anything below, so can Emin; and an Emin that reaches the points has no Bc
  // above.
  constexpr double kEdge = 1.0001;
  if (*fit.critical_batch_range.low < std::exp(problem.low) * kEdge) {
    fit.critical_batch_range.low.reset();
    fit.least_samples_range.low.reset();
  }
  if (*fit.critical_batch_range.high > std::exp(problem.high) / kEdge) {
    fit.critical_batch_range.high.reset();
  }
  if (exponent_fixed) return;
  if (*fit.exponent_range.low <= kExponentLow) fit.exponent_range.low.reset();
  if (*fit.exponent_range.high >= kExponentHigh) fit.exponent_range.high.reset();
}

Result<void> check(std::span<const BatchPoint> points) {
  std::set<std::int64_t> batches;
  for (const BatchPoint& point : points) {
    if (point.batch < 1 || !(point.samples > 0) || !(point.spread >= 0)) {
      return invalid_input(
          fmt::format("a point of batch {}: batch and samples must be above zero", point.batch));
    }
    batches.insert(point.batch);
  }
  if (batches.size() >= 2) return {};
  return invalid_input(
      fmt::format("{} batch size{}: how samples grow with the batch needs two", batches.size(),
                  batches.size() == 1 ? "" : "s"),
      "train to the target with another global batch, four times as large if possible");
}

}  // namespace

Result<ConvergenceFit> fit_convergence(std::span<const BatchPoint> points,
                                       const ConvergenceFitOptions& options) {
  PLUTO_TRY(check(points));
  const Problem problem = problem_of(points, options);
  const auto penalty = [&](double exponent) {
    const double away = (exponent - options.exponent_mean) / options.exponent_spread;
    return options.exponent ? 0.0 : away * away;
  };
  const std::vector<double> exponents = exponents_of(options);
  std::vector<Trial> trials;
  std::size_t best = 0;
  for (std::size_t i = 0; i < exponents.size(); ++i) {
    trials.push_back(problem.best(exponents[i]));
    if (trials[i].loss + penalty(exponents[i]) < trials[best].loss + penalty(exponents[best])) {
      best = i;
    }
  }
  ConvergenceFit fit;
  fit.exponent = exponents[best];
  fit.critical_batch = std::exp(trials[best].log_critical);
  fit.least_samples = std::exp(trials[best].log_least);
  double squares = 0;
  for (const BatchPoint& point : points) {
    const double error =
        std::log(fitted_samples(fit, static_cast<double>(point.batch)) / point.samples);
    squares += error * error;
  }
  const auto count = static_cast<double>(points.size());
  fit.rms = std::sqrt(squares / count);

  const double freedom = std::max(1.0, count - 2);
  const double scale = trials[best].loss / freedom;  // above 1: the points scatter more than stated
  const double student = student_quantile(kCoverage, freedom), normal = normal_quantile(kCoverage);
  const double limit = trials[best].loss + penalty(exponents[best]) +
                       std::max(normal * normal, scale * student * student);
  for (std::size_t i = 0; i < exponents.size(); ++i) {
    const double left_over = limit - penalty(exponents[i]);
    if (trials[i].loss > left_over) continue;
    const double from = trials[i].log_critical;
    const double low = problem.leaves(from, problem.low, exponents[i], left_over);
    const double high = problem.leaves(from, problem.high, exponents[i], left_over);
    for (int m = 0; m < kMembers; ++m) {
      const Trial trial = problem.at(low + (high - low) * m / (kMembers - 1), exponents[i]);
      const double slack = std::sqrt(std::max(0.0, left_over - trial.loss) / problem.weight);
      fit.members.push_back({trial.log_least, trial.log_critical, exponents[i], slack});
    }
    const Trial& own = trials[i];
    fit.members.push_back({own.log_least, own.log_critical, exponents[i],
                           std::sqrt((left_over - own.loss) / problem.weight)});
  }
  add_ranges(fit, problem, options.exponent.has_value());
  return fit;
}

double fitted_samples(const ConvergenceFit& fit, double batch) {
  return fit.least_samples * (1 + std::pow(batch / fit.critical_batch, fit.exponent));
}

FitRange samples_interval(const ConvergenceFit& fit, double batch) {
  return range_of(fit.members, [batch](const auto& member) {
    const double log =
        member.log_least +
        std::log1p(std::exp(member.exponent * (std::log(batch) - member.log_critical)));
    return std::pair(std::exp(log - member.slack), std::exp(log + member.slack));
  });
}

UnseenErrors unseen_errors(std::span<const BatchPoint> points,
                           const ConvergenceFitOptions& options) {
  UnseenErrors errors;
  std::vector<BatchPoint> sorted(points.begin(), points.end());
  std::ranges::sort(sorted, {}, &BatchPoint::batch);
  const auto error_of = [](double predicted, const BatchPoint& truth) {
    return std::log(predicted / truth.samples);
  };
  // From some points the outermost, by the law moved to meet the last one.
  const auto extrapolate = [&](std::vector<BatchPoint> known, std::vector<double>& into) {
    const auto fit = fit_convergence(known, options);
    if (!fit.ok()) return;
    const SamplesLaw law{LawKind::kPoints, fit->critical_batch, fit->exponent, known};
    const auto last = static_cast<double>(known.back().batch);
    const double ratio =
        estimate_samples(law, static_cast<double>(sorted.back().batch), last).ratio;
    into.push_back(error_of(known.back().samples * ratio, sorted.back()));
  };
  for (std::size_t i = 0; i < sorted.size() && sorted.size() >= 3; ++i) {
    auto others = sorted;
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(i));
    const auto fit = fit_convergence(others, options);
    const auto batch = static_cast<double>(sorted[i].batch);
    if (fit.ok()) errors.left_out.push_back(error_of(fitted_samples(*fit, batch), sorted[i]));
    if (i == 0 || i + 1 == sorted.size()) continue;
    const auto &before = sorted[i - 1], &after = sorted[i + 1];
    const double share = (batch - static_cast<double>(before.batch)) /
                         static_cast<double>(after.batch - before.batch);
    errors.interpolated.push_back(
        error_of(before.samples + share * (after.samples - before.samples), sorted[i]));
  }
  if (sorted.size() >= 3) extrapolate({sorted.begin(), sorted.end() - 1}, errors.next);
  std::vector<BatchPoint> small = sorted;
  std::erase_if(small, [&](const auto& p) { return p.batch * 4 > sorted.back().batch; });
  extrapolate(std::move(small), errors.far);
  return errors;
}

}  // namespace pluto
