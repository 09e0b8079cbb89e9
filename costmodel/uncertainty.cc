#include "costmodel/uncertainty.h"

#include <algorithm>
#include <cmath>

#include "base/statistics.h"

namespace pluto {

namespace {
constexpr double kCarriesWeight = 0.05;
}  // namespace

double least_spread(Evidence evidence) {
  switch (evidence) {
    case Evidence::kMeasured:
      return 0.08;
    case Evidence::kInterpolated:
      return 0.11;
    case Evidence::kCalibrated:
      return 0.15;
    case Evidence::kDatasheet:
      return 0.35;
    case Evidence::kAssumed:
      return 0.5;
  }
  return 0.5;
}

double combined_spread(std::span<const TermSpread> parts) {
  double square = 0, sum = 0;
  for (const auto& part : parts) {
    const double deviation = part.time.value() * part.relative_spread;
    square += deviation * deviation;
    sum += part.time.value();
  }
  return sum > 0 ? std::sqrt(square) / sum : 0;
}

void EvidenceTally::add(Seconds time, double relative_spread, Evidence evidence) {
  by_evidence_[static_cast<std::size_t>(evidence)] += time.value();
  weighted_spread_ += time.value() * relative_spread;
  total_ += time;
}

void EvidenceTally::add(const EvidenceTally& others) {
  for (std::size_t i = 0; i < by_evidence_.size(); ++i) by_evidence_[i] += others.by_evidence_[i];
  weighted_spread_ += others.weighted_spread_;
  total_ += others.total_;
}

Evidence EvidenceTally::weakest() const {
  double weaker = 0;
  for (std::size_t i = by_evidence_.size(); i-- > 1;) {
    weaker += by_evidence_[i];
    if (weaker > 0 && weaker >= kCarriesWeight * total_.value()) return static_cast<Evidence>(i);
  }
  return Evidence::kMeasured;
}

double EvidenceTally::relative_spread() const {
  if (!(total_.value() > 0)) return 0;
  return std::max(weighted_spread_ / total_.value(), least_spread(weakest()));
}

template <class Q>
Interval<Q> lognormal_interval(Q median, double sigma) {
  const double factor = std::exp(normal_quantile(0.9) * sigma);
  return {median / factor, median, median * factor};
}
template Interval<Seconds> lognormal_interval(Seconds, double);
template Interval<Dollars> lognormal_interval(Dollars, double);

double probability_within(double median, double sigma, double limit) {
  if (median <= 0) return 1;
  if (limit <= 0) return 0;
  if (sigma <= 0) return median <= limit ? 1 : 0;
  return normal_cdf((std::log(limit) - std::log(median)) / sigma);
}

}  // namespace pluto
