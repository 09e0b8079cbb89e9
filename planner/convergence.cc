#include "planner/convergence.h"

#include <algorithm>
#include <cmath>

namespace pluto {

namespace {

double law_factor(double batch, double critical_batch, double exponent) {
  return 1 + std::pow(batch / critical_batch, exponent);
}

/// E(B) in the unit of the points; without points over Emin.
double samples_at(const SamplesLaw& law, double batch, double critical_batch) {
  const auto& points = law.points;
  const double factor = law_factor(batch, critical_batch, law.exponent);
  if (points.empty()) return factor;
  const auto after = std::ranges::lower_bound(
      points, batch, {}, [](const auto& point) { return static_cast<double>(point.batch); });
  const bool inside = after != points.end() &&
                      (after != points.begin() || static_cast<double>(after->batch) == batch);
  if (!inside) {
    const BatchPoint& edge = after == points.end() ? points.back() : points.front();
    return edge.samples * factor /
           law_factor(static_cast<double>(edge.batch), critical_batch, law.exponent);
  }
  if (static_cast<double>(after->batch) == batch) return after->samples;
  const auto before = std::prev(after);
  const auto left = static_cast<double>(before->batch), right = static_cast<double>(after->batch);
  return before->samples + (after->samples - before->samples) * (batch - left) / (right - left);
}

/// ln of the way from the nearest measured batch, positive upwards; 0 inside.
double log_beyond(const SamplesLaw& law, double batch, double reference) {
  if (law.points.empty()) return std::log(batch / reference);
  const auto first = static_cast<double>(law.points.front().batch);
  const auto last = static_cast<double>(law.points.back().batch);
  return batch > last ? std::log(batch / last) : batch < first ? std::log(batch / first) : 0.0;
}

/// E over E between the measured batches nearest to the two; 1 without points.
double measured_ratio(const SamplesLaw& law, double batch, double reference) {
  if (law.points.empty()) return 1;
  const auto first = static_cast<double>(law.points.front().batch);
  const auto last = static_cast<double>(law.points.back().batch);
  return samples_at(law, std::clamp(batch, first, last), law.critical_batch) /
         samples_at(law, std::clamp(reference, first, last), law.critical_batch);
}

bool is_point(const SamplesLaw& law, double batch) {
  return std::ranges::any_of(law.points, [batch](const BatchPoint& point) {
    return static_cast<double>(point.batch) == batch;
  });
}

/// Of the law so many octaves beyond what was measured.
double spread_beyond(const ConvergenceSpreads& spreads, double octaves) {
  const double spread =
      octaves < 1 ? spreads.next_batch * octaves
                  : spreads.next_batch + (spreads.far - spreads.next_batch) * (octaves - 1);
  return std::min(spread, std::max(spreads.prior, spreads.far));
}

/// d ln E / d ln Bc, with the sign turned.
double sensitivity(const SamplesLaw& law, double batch) {
  const double term = std::pow(batch / law.critical_batch, law.exponent);
  return law.exponent * term / (1 + term);
}

/// Variance of ln E at a batch that was not the reference.
double variance_at(const SamplesLaw& law, double batch, double reference) {
  const ConvergenceSpreads& spreads = law.spreads;
  const double beyond = std::abs(log_beyond(law, batch, reference));
  if (beyond == 0) {
    return is_point(law, batch) ? 0.0 : spreads.interpolated * spreads.interpolated;
  }
  double spread = spread_beyond(spreads, beyond / std::log(2.0));
  if (law.kind == LawKind::kNoiseScale) spread = std::min(spread, spreads.noise_scale);
  if (law.kind == LawKind::kFixed) spread = spreads.prior;
  // The target lies somewhere between constant epochs and constant steps.
  spread = std::min(spread, beyond / 2);
  return spread * spread;
}

}  // namespace

std::optional<double> critical_batch_at(const SamplesLaw& law, double batch) {
  if (law.kind == LawKind::kFixed) return std::nullopt;
  if (law.kind != LawKind::kNoiseScale) return law.critical_batch;
  const double way = std::log(batch / static_cast<double>(law.noise_batch));
  const double share = std::clamp(way / std::log(law.noise_reach), 0.0, 1.0);
  return law.critical_batch * std::pow(law.noise_factor, share);
}

SamplesEstimate estimate_samples(const SamplesLaw& law, double batch, double reference) {
  SamplesEstimate estimate;
  const ConvergenceSpreads& spreads = law.spreads;
  estimate.spread = spreads.seed;
  if (batch == reference) {
    // The length is as stated, at the batch it was stated for.
    estimate.evidence = Evidence::kMeasured;
    return estimate;
  }
  // The noise scale that counts is that of the larger of the two batches.
  const auto critical = critical_batch_at(law, std::max(batch, reference));
  if (critical) {
    estimate.ratio = samples_at(law, batch, *critical) / samples_at(law, reference, *critical);
  }

  // ln of the way from one batch to the other that no measurement covers.
  const double beyond = log_beyond(law, batch, reference);
  const double reference_beyond = log_beyond(law, reference, reference);
  double near = 0, far = beyond - reference_beyond;
  if (law.kind == LawKind::kNoiseScale) {
    far = std::log(law_factor(batch, law.critical_batch, law.exponent) /
                   law_factor(reference, law.critical_batch, law.exponent));
  }
  const bool measured = beyond == 0 && reference_beyond == 0 && !law.points.empty();
  const double inside = measured_ratio(law, batch, reference);
  if (near > far) std::swap(near, far);
  // An exponent above 1 may lead out of the bracket, which then is too narrow.
  estimate.low = measured ? estimate.ratio : std::min(estimate.ratio, inside * std::exp(near));
  estimate.high = measured ? estimate.ratio : std::max(estimate.ratio, inside * std::exp(far));

  double variance = variance_at(law, batch, reference);
  if (!law.points.empty()) variance += variance_at(law, reference, batch);
  if (law.kind == LawKind::kFamily) {
    const double shift = (sensitivity(law, batch) - sensitivity(law, reference)) * spreads.transfer;
    variance = std::min(variance + shift * shift, spreads.prior * spreads.prior);
  }
  estimate.spread = std::sqrt(variance + spreads.seed * spreads.seed);
  switch (law.kind) {
    case LawKind::kPoints:
      estimate.evidence = !measured ? Evidence::kCalibrated
                          : is_point(law, batch) && is_point(law, reference)
                              ? Evidence::kMeasured
                              : Evidence::kInterpolated;
      break;
    case LawKind::kNoiseScale:
      estimate.evidence = Evidence::kCalibrated;
      break;
    default:
      estimate.evidence = Evidence::kAssumed;
      break;
  }
  return estimate;
}

}  // namespace pluto
