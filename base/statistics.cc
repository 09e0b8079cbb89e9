#include "base/statistics.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "base/check.h"

namespace pluto {
namespace {

template <std::size_t kCount>
double polynomial(const double (&coefficients)[kCount], double x) {
  double sum = 0;
  for (const double coefficient : coefficients) sum = sum * x + coefficient;
  return sum;
}

// Acklam's coefficients, highest power first: numerator and denominator, centre and tails.
constexpr double kCentreTop[] = {-3.969683028665376e+01, 2.209460984245205e+02,
                                 -2.759285104469687e+02, 1.383577518672690e+02,
                                 -3.066479806614716e+01, 2.506628277459239e+00};
constexpr double kCentreBottom[] = {-5.447609879822406e+01, 1.615858368580409e+02,
                                    -1.556989798598866e+02, 6.680131188771972e+01,
                                    -1.328068155288572e+01, 1.0};
constexpr double kTailTop[] = {-7.784894002430293e-03, -3.223964580411365e-01,
                               -2.400758277161838e+00, -2.549732539343734e+00,
                               4.374664141464968e+00,  2.938163982698783e+00};
constexpr double kTailBottom[] = {7.784695709041462e-03, 3.224671290700398e-01,
                                  2.445134137142996e+00, 3.754408661907416e+00, 1.0};
constexpr double kTail = 0.02425;

double lower_tail_quantile(double p) {
  const double q = std::sqrt(-2.0 * std::log(p));
  return polynomial(kTailTop, q) / polynomial(kTailBottom, q);
}

}  // namespace

double quantile(std::span<const double> values, double q) {
  PLUTO_CHECK(!values.empty(), "quantile of no values");
  PLUTO_CHECK(q >= 0 && q <= 1, "quantile outside [0, 1]");
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  const double position = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(position);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  const double fraction = position - static_cast<double>(below);
  return fraction == 0 ? sorted[below] : sorted[below] + fraction * (sorted[above] - sorted[below]);
}

Summary summarize(std::span<const double> values) {
  Summary summary;
  summary.median = median(values);
  summary.count = values.size();
  std::vector<double> deviations;
  deviations.reserve(values.size());
  for (const double value : values) deviations.push_back(std::abs(value - summary.median));
  // A median of zero of quantities that cannot be negative leaves no deviation to divide.
  if (summary.median != 0) {
    summary.relative_spread = 1.4826 * median(deviations) / std::abs(summary.median);
  }
  return summary;
}

double relative_half_width(const Summary& summary) {
  PLUTO_CHECK(summary.count > 0, "half-width of no values");
  return 1.25 * 1.96 * summary.relative_spread / std::sqrt(static_cast<double>(summary.count));
}

double normal_quantile(double p) {
  PLUTO_CHECK(p > 0 && p < 1, "probability outside (0, 1)");
  if (p < kTail) return lower_tail_quantile(p);
  if (p > 1 - kTail) return -lower_tail_quantile(1 - p);
  const double q = p - 0.5;
  return q * polynomial(kCentreTop, q * q) / polynomial(kCentreBottom, q * q);
}

double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::numbers::sqrt2); }

}  // namespace pluto
