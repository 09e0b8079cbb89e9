#pragma once
// Robust summaries of repeated measurements.

#include <cstddef>
#include <span>

namespace pluto {

/// Linear-interpolated quantile, q in [0, 1]. Precondition: values not empty (need not be sorted).
double quantile(std::span<const double> values, double q);
inline double median(std::span<const double> values) { return quantile(values, 0.5); }

/// Median, robust relative spread and count of repeated measurements of one quantity.
/// Formula: relative_spread = 1.4826 * median(|x - median|) / median (a consistent estimate of
/// sigma/mu for Gaussian noise). Source: Rousseeuw and Croux 1993. Precondition: values not empty.
struct Summary {
  double median = 0;
  double relative_spread = 0;
  std::size_t count = 0;
};
Summary summarize(std::span<const double> values);

/// Relative half-width of the 95 % interval of the median, 1.25 * 1.96 * relative_spread /
/// sqrt(count).
double relative_half_width(const Summary& summary);

/// Inverse of the standard normal distribution function, 0 < p < 1.
/// Source: Acklam's rational approximation, relative error below 1.2e-9.
double normal_quantile(double p);
/// Standard normal distribution function.
double normal_cdf(double x);

}  // namespace pluto
