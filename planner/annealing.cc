#include "planner/annealing.h"

#include <algorithm>
#include <cmath>

namespace pluto {
namespace {

constexpr std::int64_t kTrialShare = 10;  // one in so many evaluations
constexpr double kFirstAcceptance = 0.2;
constexpr double kLastTemperature = 0.01;  // of the first

/// From 0 to below 1.
double fraction(std::mt19937_64& random) {
  constexpr int kMantissa = 53;
  return std::ldexp(static_cast<double>(random() >> (64 - kMantissa)), -kMantissa);
}

}  // namespace

AnnealingSchedule::AnnealingSchedule(std::uint64_t seed, std::int64_t evaluations)
    : random_(seed), evaluations_(evaluations), trials_(evaluations / kTrialShare) {}

double AnnealingSchedule::temperature() const {
  if (seen_ < trials_ || uphill_ == 0) return 0;
  const double left = static_cast<double>(std::max<std::int64_t>(1, evaluations_ - trials_));
  const double done = static_cast<double>(seen_ - trials_) / left;
  return mean_uphill_ / -std::log(kFirstAcceptance) * std::pow(kLastTemperature, done);
}

bool AnnealingSchedule::accepts(double difference) {
  const double now = temperature();
  const bool trial = seen_ < trials_;
  ++seen_;
  // What has no energy on either side is no difference: walk on.
  if (!(difference > 0)) return true;
  if (trial && std::isfinite(difference)) {
    ++uphill_;
    mean_uphill_ += (difference - mean_uphill_) / static_cast<double>(uphill_);
  }
  if (now <= 0) return false;
  return fraction(random_) < std::exp(-difference / now);
}

std::size_t pick(std::mt19937_64& random, std::size_t count) {
  return std::min(static_cast<std::size_t>(fraction(random) * static_cast<double>(count)),
                  count - 1);
}

}  // namespace pluto
