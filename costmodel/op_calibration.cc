#include "costmodel/op_calibration.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "costmodel/uncertainty.h"

namespace pluto {

namespace {

// Added to the repeat spread of the points an answer is made from, in quadrature.
constexpr double kBetweenSpread = 0.05;
constexpr double kBeyondSpread = 0.2;
constexpr double kOtherBusySpread = 0.2;
constexpr double kFarthestBeyond = 2.0;

double widen(double spread, double by) { return std::hypot(spread, by); }

}  // namespace

void OpCalibration::add(std::int64_t id, const OpSignature& signature, int busy_ranks, Seconds time,
                        double relative_spread, Bytes workspace, Seconds fallback) {
  const auto key = key_of(signature);
  auto [found, is_new] = families_.try_emplace(key.family);
  if (is_new) kinds_[kind_and_pass(signature)].push_back(key.family);
  auto& all = found->second.series;
  auto series = std::ranges::find(all, busy_ranks, &Series::busy_ranks);
  if (series == all.end()) series = all.insert(all.end(), Series{busy_ranks, {}});
  const Point point{key.batch, id, time, relative_spread, workspace, fallback};
  const auto place = std::ranges::lower_bound(series->points, key.batch, {}, &Point::batch);
  if (place == series->points.end() || place->batch != key.batch) {
    series->points.insert(place, point);
  } else if (id >= place->id) {
    *place = point;
  }
}

void OpCalibration::finish() {
  for (const auto& [kind, families] : kinds_) {
    LogSum logs;
    for (const auto family : families) {
      for (const auto& series : families_.at(family).series) {
        for (const auto& point : series.points) {
          if (point.time.value() <= 0 || point.fallback.value() <= 0) continue;
          const double log = std::log(point.time / point.fallback);
          logs.sum += log;
          logs.squares += log * log;
          ++logs.count;
        }
      }
    }
    if (logs.count == 0) continue;
    const double mean = logs.sum / logs.count;
    const double variance =
        logs.count > 1 ? std::max(0.0, logs.squares - logs.count * mean * mean) / (logs.count - 1)
                       : std::pow(least_spread(Evidence::kDatasheet), 2);
    ratios_[kind] = {std::exp(mean), std::sqrt(variance)};
  }
}

OpCalibration::Answer OpCalibration::from_family(const SignatureKey& key, int busy_ranks) const {
  const auto found = families_.find(key.family);
  if (found == families_.end()) return {};
  // Nearest number of busy ranks; of two equally near the busier, which is the slower.
  const auto& all = found->second.series;
  const auto& series = *std::ranges::min_element(all, {}, [&](const Series& one) {
    return 2 * std::abs(one.busy_ranks - busy_ranks) + (one.busy_ranks > busy_ranks ? 0 : 1);
  });
  const auto upper = static_cast<std::size_t>(
      std::ranges::lower_bound(series.points, key.batch, {}, &Point::batch) -
      series.points.begin());
  std::optional<OpCost> cost;
  if (upper < series.points.size() && series.points[upper].batch == key.batch) {
    const auto& point = series.points[upper];
    cost = OpCost{point.time, point.relative_spread, Evidence::kMeasured, point.workspace};
  } else if (upper > 0 && upper < series.points.size()) {
    cost = between(series, upper, key.batch);
  } else {
    cost = beyond(series, key.batch);
  }
  if (cost && series.busy_ranks != busy_ranks) {
    cost->evidence = std::max(cost->evidence, Evidence::kInterpolated);
    cost->relative_spread = widen(cost->relative_spread, kOtherBusySpread);
  }
  return {cost, upper > 0 ? &series.points[upper - 1] : &series.points[upper]};
}

OpCost OpCalibration::between(const Series& series, std::size_t upper, std::int64_t batch) {
  const auto& low = series.points[upper - 1];
  const auto& high = series.points[upper];
  const double share = static_cast<double>(batch - low.batch) / (high.batch - low.batch);
  return {low.time * (1 - share) + high.time * share,
          widen(std::max(low.relative_spread, high.relative_spread), kBetweenSpread),
          Evidence::kInterpolated, std::max(low.workspace, high.workspace)};
}

std::optional<OpCost> OpCalibration::beyond(const Series& series, std::int64_t batch) {
  const auto& points = series.points;
  if (points.size() < 2) return std::nullopt;
  const bool above = batch > points.back().batch;
  const auto& edge = above ? points.back() : points.front();
  const auto& next = above ? points[points.size() - 2] : points[1];
  const double factor = static_cast<double>(batch) / static_cast<double>(edge.batch);
  if (factor > kFarthestBeyond || factor < 1 / kFarthestBeyond) return std::nullopt;
  const double slope =
      (edge.time - next.time).value() / static_cast<double>(edge.batch - next.batch);
  const Seconds line = edge.time + Seconds(slope * static_cast<double>(batch - edge.batch));
  const Seconds proportional = edge.time * factor;
  const auto [least, most] = std::minmax(edge.time, proportional);
  Bytes workspace = std::max(edge.workspace, next.workspace);
  if (above) {
    workspace = Bytes(
        static_cast<std::int64_t>(std::ceil(static_cast<double>(workspace.value()) * factor)));
  }
  return OpCost{std::clamp(line, least, most), widen(edge.relative_spread, kBeyondSpread),
                Evidence::kInterpolated, workspace};
}

std::optional<OpCalibration::Ratio> OpCalibration::of_point(const Point& point) {
  if (point.fallback.value() <= 0) return std::nullopt;
  return Ratio{point.time / point.fallback, widen(point.relative_spread, kBeyondSpread)};
}

std::optional<OpCalibration::Ratio> OpCalibration::ratio_of(const OpSignature& signature) const {
  const auto found = ratios_.find(kind_and_pass(signature));
  if (found == ratios_.end()) return std::nullopt;
  return found->second;
}

OpCost OpCalibration::scaled(const OpCost& fallback, const Ratio& ratio) {
  return {fallback.time * ratio.factor, ratio.relative_spread, Evidence::kCalibrated,
          fallback.workspace};
}

}  // namespace pluto
