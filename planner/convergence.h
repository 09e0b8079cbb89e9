#pragma once
// Samples to the target at one global batch over those at another, and how sure that is.

#include <optional>

#include "plan/evidence.h"
#include "plan/samples_law.h"

namespace pluto {

struct SamplesEstimate {
  double ratio = 1;   ///< E(batch) / E(reference)
  double low = 1;     ///< bracket of the ratio where nothing was measured; both are the ratio
  double high = 1;    ///< itself where both batches were
  double spread = 0;  ///< standard deviation of ln(samples), from run to run included
  Evidence evidence = Evidence::kAssumed;
};

/// Samples at `batch` over samples at `reference`, both >= 1.
///
/// Formula: E(B) = Emin (1 + (B/Bc)^p). Source: McCandlish, Kaplan, Amodei 2018, eq. 2.11 (p = 1);
/// the exponent is fitted, see convergence_fit.h. With points: linear in B between neighbours, as
/// MLPerf's reference points are read; outside them the law, moved to meet the outermost point.
/// With a noise scale phi measured at Bm: Bc = phi f^(ln(B/Bm) / ln(reach)), between phi and f phi:
/// a noise scale taken at a small batch asks for too many samples at a large one.
/// Bracket: constant epochs (ratio 1) on one side. On the other the noise scale as measured, or
/// constant steps (ratio B/B0), since a larger batch does not need more steps.
/// Spread: by how far the batch is from what was measured (ConvergenceSpreads; from next_batch on
/// straight in ln B), for a family also the transfer of ln Bc; never more than half the logarithm
/// of the bracket, the largest standard deviation on an interval (Popoviciu 1935).
/// Valid for: rates retuned for each batch. 5 % median error at the next larger batch, 15 % at four
/// times, over 14 and 12 MLPerf tables (bench/fit_convergence). Ignores: the rise of Bc during
/// training, schedules that change the batch. Calibrated by: points.csv (pluto-plan fit),
/// data/convergence.json. Test: planner/convergence_test.cc.
SamplesEstimate estimate_samples(const SamplesLaw& law, double batch, double reference);

/// Bc of the law at that batch; nullopt for kFixed.
std::optional<double> critical_batch_at(const SamplesLaw& law, double batch);

}  // namespace pluto
