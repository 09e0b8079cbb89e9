#include "costmodel/spot_run.h"

#include <algorithm>
#include <cmath>

#include "base/statistics.h"

namespace pluto {

namespace {

/// Element `index` (from 1) of the van der Corput sequence, in (0, 1).
double halton(int index, int base) {
  double result = 0, digit = 1;
  for (int i = index; i > 0; i /= base) {
    digit /= base;
    result += digit * (i % base);
  }
  return result;
}

/// What varies from run to run: normal deviates and probabilities.
struct Draw {
  double work = 0, between = 0, price = 0;  // normal
  double chance = 0, count = 0;             // in (0, 1)
  double count_normal = 0, lost = 0, waits = 0;
};

const std::vector<Draw>& draws_of_all_runs() {
  static const std::vector<Draw> kDraws = [] {
    std::vector<Draw> draws;
    for (int i = 1; i <= kSpotRuns; ++i) {
      Draw draw;
      draw.work = normal_quantile(halton(i, 2));
      draw.between = normal_quantile(halton(i, 3));
      draw.chance = halton(i, 5);
      draw.count = halton(i, 7);
      draw.count_normal = normal_quantile(draw.count);
      draw.lost = normal_quantile(halton(i, 11));
      draw.waits = normal_quantile(halton(i, 13));
      draw.price = normal_quantile(halton(i, 17));
      draws.push_back(draw);
    }
    return draws;
  }();
  return kDraws;
}

/// Quantile of a gamma distribution with that mean and variance, z the normal deviate of the
/// probability. Wilson and Hilferty 1931.
double gamma_quantile(double mean, double variance, double z) {
  if (!(mean > 0)) return 0;
  if (!(variance > 0)) return mean;
  const double shape = mean * mean / variance;
  const double root = 1 - 1 / (9 * shape) + z / std::sqrt(9 * shape);
  return mean * std::max(0.0, root * root * root);
}

/// Quantile of the number of failures before `successes` successes, each of probability `p`.
double negative_binomial_quantile(double successes, double p, const Draw& draw) {
  const double mean = successes * (1 - p) / p;
  constexpr double kCounted = 100;
  if (!(mean < kCounted)) return std::round(gamma_quantile(mean, mean / p, draw.count_normal));
  double weight = std::exp(successes * std::log(p)), sum = weight;
  double count = 0;
  while (sum < draw.count && count < 20 * kCounted) {
    weight *= (1 - p) * (count + successes) / (count + 1);
    sum += weight;
    ++count;
  }
  return count;
}

/// What the interruptions of one run come to.
struct Losses {
  double count = 0, lost = 0, waits = 0;
};

Losses losses_of(double work, double interval, double between, double wait, const Draw& draw) {
  // Beyond this no segment is ever finished; the times stay finite.
  constexpr double kHopeless = 30;
  const double x = std::min(interval / between, kHopeless);
  const double growth = std::expm1(x);
  Losses losses;
  losses.count = negative_binomial_quantile(work / interval, std::exp(-x), draw);
  const double mean = x < 1e-6 ? interval / 2 : between - interval / growth;
  const double square =
      x < 1e-3 ? interval * interval / 3 : between * between * (2 - (x * x + 2 * x) / growth);
  losses.lost = gamma_quantile(losses.count * mean,
                               losses.count * std::max(0.0, square - mean * mean), draw.lost);
  losses.waits = gamma_quantile(losses.count * wait, losses.count * wait * wait, draw.waits);
  return losses;
}

RunOutcome outcome_of(const SpotRun& run, const Draw& draw) {
  const double work = run.work.value() * std::exp(run.spread * draw.work);
  const double between = run.between.value() * std::exp(run.between_spread * draw.between);
  const double drift = std::exp(run.price_spread * draw.price);
  const double first_wait =
      draw.chance < run.available
          ? 0
          : -run.wait.value() * std::log1p(-(draw.chance - run.available) / (1 - run.available));
  const Losses losses =
      losses_of(work, std::min(run.interval.value(), work), between, run.wait.value(), draw);
  const double unbilled_start = first_wait + run.provisioning.value();
  const double start = unbilled_start + run.boot.value();
  const double restart = run.boot.value() + run.load.value();
  const double billed = work + losses.lost + losses.count * restart;
  const double running = billed + losses.waits + losses.count * run.provisioning.value();
  const auto price = [](DollarsPerHour rate, double seconds) { return rate * Seconds(seconds); };
  if (!run.move_after || start + running <= run.move_after->value()) {
    return {Seconds(start + running), price(run.spot, run.boot.value() + billed) * drift};
  }
  const double until = run.move_after->value();
  const double share = std::max(0.0, until - start) / running;
  const double on_spot = std::clamp(until - unbilled_start, 0.0, run.boot.value()) + share * billed;
  const double rest = restart + run.load.value() + work * (1 - share);
  return {Seconds(until + run.provisioning.value() + rest),
          price(run.spot, on_spot) * drift + price(run.on_demand, rest)};
}

}  // namespace

Seconds checkpoint_interval(Seconds writing, Seconds between) {
  return Seconds(std::sqrt(2 * writing.value() * between.value()));
}

double interruption_overhead(Seconds writing, Seconds interval, Seconds restart, Seconds between) {
  return writing / interval + interval / between / 2 + restart / between;
}

std::vector<RunOutcome> spot_outcomes(const SpotRun& run) {
  std::vector<RunOutcome> outcomes;
  outcomes.reserve(kSpotRuns);
  for (const Draw& draw : draws_of_all_runs()) outcomes.push_back(outcome_of(run, draw));
  return outcomes;
}

}  // namespace pluto
