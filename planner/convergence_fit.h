#pragma once
// The law E(B) = Emin (1 + (B/Bc)^p) from measured points, with intervals.

#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "plan/samples_law.h"

namespace pluto {

struct ConvergenceFitOptions {
  double point_spread = 0.04;     ///< of ln(samples) of a point beyond its seeds: tuning, units
  double exponent_mean = 1.1;     ///< of what is expected of p before any point,
  double exponent_spread = 0.25;  ///< and its standard deviation
  std::optional<double> exponent = {};  ///< held fixed
};

/// Nullopt: the points do not bound it on that side.
struct FitRange {
  std::optional<double> low, high;
};

/// Intervals hold nine times in ten.
struct ConvergenceFit {
  double least_samples = 1;  ///< Emin, in the unit of the points
  double critical_batch = 1;
  double exponent = 1;
  FitRange least_samples_range, critical_batch_range, exponent_range;
  double rms = 0;  ///< of ln(fitted / measured)

  /// A law that the points do not exclude; ln Emin may be off by `slack` either way.
  struct Member {
    double log_least = 0, log_critical = 0, exponent = 1, slack = 0;
  };
  std::vector<Member> members;
};

/// Formula: minimises sum (ln E(B_i) - ln E_i)^2 / (s^2 + spread_i^2 / runs_i) + ((p - mean) /
/// spread)^2; Emin in closed form, Bc by golden section between a hundredth of the smallest batch
/// and 300 times the largest, p over a grid. Intervals: where that sum stays within t^2 times its
/// scale of the least, t Student's 95 % quantile (profile likelihood; Bates and Watts 1988, 6.1).
/// Source: law as in convergence.h; prior of p: data/convergence.json. Valid for: at least two
/// batches; Bc is bounded only if the points reach about 0.3 Bc. Ignores: evaluation intervals,
/// unequal tuning. Test: planner/convergence_fit_test.cc.
/// Errors: kInvalidInput for fewer than two different batches, or values that are not positive.
Result<ConvergenceFit> fit_convergence(std::span<const BatchPoint> points,
                                       const ConvergenceFitOptions& options);

/// E of the fitted law.
double fitted_samples(const ConvergenceFit& fit, double batch);
/// Its interval; both are set.
FitRange samples_interval(const ConvergenceFit& fit, double batch);

/// ln(predicted / measured) of points the fit did not see; empty where too few remain.
struct UnseenErrors {
  std::vector<double> left_out;      ///< each point in turn, from the others by the fitted law
  std::vector<double> interpolated;  ///< each inner point, linear in B between its neighbours
  std::vector<double> next;          ///< the largest batch, from all smaller ones
  std::vector<double> far;           ///< the largest, from those of at most a quarter of it
};
UnseenErrors unseen_errors(std::span<const BatchPoint> points,
                           const ConvergenceFitOptions& options);

}  // namespace pluto
