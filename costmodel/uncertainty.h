#pragma once
// How sure a prediction is: spreads by evidence, their combination, log-normal quantiles and
// probabilities.

#include <array>
#include <span>

#include "base/units.h"
#include "plan/prediction.h"

namespace pluto {

/// Relative spread (standard deviation of the logarithm) below which no term of a step is believed,
/// by what it is known from. Source: step times predicted from own measurements are off by 8 %,
/// from a graph model by 8 to 15 % (Srifty 2020; vTrain 2023); from datasheets by about 35 % (our
/// reproduction of Calculon on foreign machines); kAssumed, a factor 1.7, and kInterpolated,
/// between its neighbours, are ours. Calibrated by: coverage of p10..p90 over finished runs.
double least_spread(Evidence evidence);

/// Run-to-run spread of the same plan, whatever is known about its parts. Source: 2,574 MLPerf
/// reference runs, median task p90 / mean = 1.04. That includes seeds that reach a target later;
/// runs of a fixed number of steps spread less.
inline constexpr double kRunSpread = 0.04;

/// A part of a time with what is known about it.
struct TermSpread {
  Seconds time;
  double relative_spread = 0;
};
/// Relative spread of a sum of independent parts. Formula: sqrt(sum (t_i s_i)^2) / sum t_i; 0 for a
/// sum of 0. Ignores: that parts from one source err together. Inside a term they are therefore
/// taken as fully dependent (EvidenceTally).
double combined_spread(std::span<const TermSpread> parts);

/// Adds up the costs of one term and tells the weakest evidence that carries weight.
class EvidenceTally {
 public:
  void add(Seconds time, double relative_spread, Evidence evidence);
  void add(const EvidenceTally& others);
  Seconds total() const { return total_; }
  /// The best evidence such that weaker sources carry less than 5 % of the time. Of nothing:
  /// kMeasured, for a term that is not there is known to be zero.
  Evidence weakest() const;
  /// Time-weighted mean of the spreads, at least least_spread(weakest()); 0 for a total of 0.
  double relative_spread() const;

 private:
  std::array<double, 5> by_evidence_{};
  double weighted_spread_ = 0;
  Seconds total_;
};

/// p10, p50, p90 of a log-normal quantity. Formula: median * exp(+-1.2816 sigma).
template <class Q>
Interval<Q> lognormal_interval(Q median, double sigma);
extern template Interval<Seconds> lognormal_interval(Seconds, double);
extern template Interval<Dollars> lognormal_interval(Dollars, double);

/// P(X <= limit) for log-normal X. Formula: Phi((ln limit - ln median) / sigma); a step function
/// for sigma 0; 1 for a median of 0 (it costs nothing).
double probability_within(double median, double sigma, double limit);

}  // namespace pluto
