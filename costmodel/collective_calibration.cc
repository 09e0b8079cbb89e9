#include "costmodel/collective_calibration.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <tuple>

#include "costmodel/collective_time.h"
#include "costmodel/uncertainty.h"

namespace pluto {

namespace {

double share_at(double low, double high, double position) {
  return low * (1 - position) + high * position;
}

/// min || a x - 1 || over one unknown, x >= 0 because a is.
double single_fit(const Eigen::VectorXd& a) { return a.sum() / a.squaredNorm(); }

}  // namespace

AlphaBeta fit_alpha_beta(std::span<const SizedTime> points) {
  const auto count = static_cast<Eigen::Index>(points.size());
  Eigen::MatrixXd rows(count, 2);
  for (Eigen::Index i = 0; i < count; ++i) {
    const auto& point = points[static_cast<std::size_t>(i)];
    rows(i, 0) = 1 / point.time.value();
    rows(i, 1) = static_cast<double>(point.bytes.value()) / point.time.value();
  }
  const Eigen::VectorXd ones = Eigen::VectorXd::Ones(count);
  Eigen::Vector2d solution(0, 0);
  const bool sized = rows.col(1).squaredNorm() > 0;
  if (count == 1 && sized) {
    solution(1) = single_fit(rows.col(1));
  } else {
    // Column scaling: alpha is about a microsecond, beta about a tenth of a nanosecond.
    const double scale = sized ? rows.col(0).norm() / rows.col(1).norm() : 1;
    Eigen::MatrixXd scaled = rows;
    scaled.col(1) *= scale;
    solution = scaled.colPivHouseholderQr().solve(ones);
    solution(1) *= scale;
    if (!(solution(0) >= 0) && sized) solution = {0, single_fit(rows.col(1))};
    if (!(solution(1) >= 0)) solution = {single_fit(rows.col(0)), 0};
  }
  const double residual = (rows * solution - ones).squaredNorm() / static_cast<double>(count);
  return {Seconds(solution(0)), solution(1), std::sqrt(residual)};
}

void CollectiveCalibration::add(std::int64_t id, const CollectiveMeasurement& measurement,
                                int ranks_on_host) {
  if (measurement.ranks < 2 || measurement.time.median.value() <= 0) return;
  const int per_node = std::clamp(ranks_on_host, 1, measurement.ranks);
  auto series = std::ranges::find_if(series_, [&](const Series& one) {
    return one.kind == measurement.kind && one.ranks == measurement.ranks &&
           one.per_node == per_node && one.transport == measurement.transport;
  });
  if (series == series_.end()) {
    Series fresh;
    fresh.kind = measurement.kind;
    fresh.ranks = measurement.ranks;
    fresh.per_node = per_node;
    fresh.transport = measurement.transport;
    series = series_.insert(series_.end(), std::move(fresh));
  }
  series->newest = std::max(series->newest, id);
  const Point point{measurement.bytes, id, measurement.time.median,
                    measurement.time.relative_spread, measurement.cpu_share};
  const auto place = std::ranges::lower_bound(series->points, measurement.bytes, {}, &Point::bytes);
  if (place == series->points.end() || place->bytes != measurement.bytes) {
    series->points.insert(place, point);
  } else if (id >= place->id) {
    *place = point;
  }
}

void CollectiveCalibration::finish() {
  if (series_.empty()) return;
  const auto newest = std::ranges::max_element(series_, {}, &Series::newest);
  const std::string transport = newest->transport;
  std::erase_if(series_, [&](const Series& one) { return one.transport != transport; });
  for (auto& one : series_) {
    std::vector<SizedTime> points;
    for (const auto& point : one.points) points.push_back({point.bytes, point.time});
    one.fit = fit_alpha_beta(points);
  }
}

const CollectiveCalibration::Series* CollectiveCalibration::nearest(const CollectiveCall& call,
                                                                    int per_node,
                                                                    bool spans_nodes) const {
  const Series* best = nullptr;
  const auto distance = [&](const Series& one) {
    return std::tuple(one.kind != call.kind, std::abs(std::log2(double(one.ranks) / call.ranks)),
                      std::abs(one.per_node - per_node), static_cast<int>(one.kind), -one.ranks);
  };
  for (const auto& one : series_) {
    if (one.spans_nodes() != spans_nodes) continue;
    if (best == nullptr || distance(one) < distance(*best)) best = &one;
  }
  return best;
}

CollectiveCost CollectiveCalibration::in_series(const Series& series, Bytes bytes) {
  const auto& points = series.points;
  const auto upper = std::ranges::lower_bound(points, bytes, {}, &Point::bytes);
  if (upper != points.end() && upper->bytes == bytes) {
    return {upper->time, upper->relative_spread, Evidence::kMeasured, upper->cpu_share};
  }
  if (upper != points.end() && upper != points.begin()) {
    const auto& low = *(upper - 1);
    const double position = (bytes - low.bytes) / (upper->bytes - low.bytes);
    return {low.time * (1 - position) + upper->time * position,
            std::max(low.relative_spread, upper->relative_spread), Evidence::kInterpolated,
            share_at(low.cpu_share, upper->cpu_share, position)};
  }
  // Beyond: the fit, but on the right side of the edge it continues.
  const bool above = upper == points.end();
  const auto& edge = above ? points.back() : points.front();
  const Seconds line = series.fit.at(bytes);
  return {above ? std::max(line, edge.time) : std::min(line, edge.time),
          std::hypot(edge.relative_spread, series.fit.relative_spread), Evidence::kInterpolated,
          edge.cpu_share};
}

CollectiveCost CollectiveCalibration::scaled(const Series& series, const CollectiveCall& call,
                                             const ClusterSpec& cluster) {
  CollectiveCall reference = call;
  reference.kind = series.kind;
  reference.ranks = reference.servers = series.ranks;
  ClusterSpec measured = cluster;
  measured.instance.node.devices = series.per_node;
  measured.nodes = (series.ranks + series.per_node - 1) / series.per_node;
  const auto wanted_time = collective_time(call, cluster);
  const auto reference_time = collective_time(reference, measured);
  const auto ratio = [](Seconds wanted, Seconds known) {
    return known.value() > 0 ? wanted / known : 1.0;
  };
  const double bytes = static_cast<double>(call.bytes.value());
  const Seconds latency = series.fit.alpha * ratio(wanted_time.latency, reference_time.latency);
  const Seconds transfer = Seconds(series.fit.seconds_per_byte * bytes) *
                           ratio(wanted_time.transfer, reference_time.transfer);
  double cpu_share = 0;
  for (const auto& point : series.points) cpu_share = std::max(cpu_share, point.cpu_share);
  return {latency + transfer,
          std::max(series.fit.relative_spread, least_spread(Evidence::kCalibrated)),
          Evidence::kCalibrated, cpu_share};
}

std::optional<CollectiveCost> CollectiveCalibration::lookup(const CollectiveCall& call,
                                                            const ClusterSpec& cluster) const {
  // What was measured are groups that fill nodes, alone on the network, by our own algorithms.
  if (call.algorithm != CollectiveAlgorithm::kRing || call.per_node != 0 || call.groups != 1 ||
      call.server_nodes != 0 || call.kind == CollectiveKind::kGather ||
      call.kind == CollectiveKind::kAllToAll || call.kind == CollectiveKind::kSend) {
    return std::nullopt;
  }
  const auto place = placement_of(cluster, call.ranks);
  const auto* series = nearest(call, place.per_node, place.nodes > 1);
  if (series == nullptr) return std::nullopt;
  const bool same = series->kind == call.kind && series->ranks == call.ranks &&
                    series->per_node == place.per_node &&
                    (call.servers == call.ranks || call.kind == CollectiveKind::kAllReduce ||
                     call.kind == CollectiveKind::kBroadcast);
  return same ? in_series(*series, call.bytes) : scaled(*series, call, cluster);
}

}  // namespace pluto
