#pragma once
// Least squares: from measured ops to the knobs of a surface.

#include <span>
#include <vector>

#include "costmodel/op_surface.h"

namespace pluto {

/// One measured op.
struct SurfaceSample {
  OpShape shape;
  SurfaceDevice device;
  double seconds = 0;
  int source = 0;     ///< measurements of one harness share a floor
  double weight = 1;  ///< of its squared error
};

struct SurfaceFitOptions {
  std::vector<Knob> knobs;  ///< what is fitted; the others stay as in `start`
  OpSurface start;
  std::vector<double> floors;  ///< start of each source's; `start`'s where there are fewer
  double prior = 0.05;  ///< pull of each knob's logarithm towards `start`, in samples per unit
};

struct SurfaceFit {
  OpSurface surface;
  /// Floor of each source, by its number. The surface has the least of those that were seen: the
  /// others add what their harness spends on the host.
  std::vector<double> floors;
  double loss = 0;  ///< what was minimised
};

/// Formula: minimises sum w rho((ln t(knobs) - ln measured) / 0.1) + prior * sum (ln knob - ln
/// start)^2 over the logarithms of the knobs within their ranges, rho(r) = 2 (sqrt(1 + r^2) - 1).
/// Source: Levenberg 1944, Marquardt 1963, iteratively reweighted (Holland and Welsch 1977); normal
/// equations by Eigen's LDLT. Precondition: samples are not empty and positive. With kFloor among
/// the knobs each source has its own. Deterministic.
SurfaceFit fit_surface(std::span<const SurfaceSample> samples, const SurfaceFitOptions& options);

}  // namespace pluto
