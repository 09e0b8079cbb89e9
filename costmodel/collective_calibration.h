#pragma once
// What collective measurements say about a collective of another size, another number of ranks, or
// another kind.

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "costmodel/cost_source.h"

namespace pluto {

/// Least squares fit of alpha + beta * bytes, both >= 0.
struct AlphaBeta {
  Seconds alpha;
  double seconds_per_byte = 0;
  double relative_spread = 0;  ///< root mean square of the relative residuals
  Seconds at(Bytes bytes) const {
    return alpha + Seconds(seconds_per_byte * static_cast<double>(bytes.value()));
  }
};
struct SizedTime {
  Bytes bytes;
  Seconds time;
};
/// Formula: minimises sum ((alpha + beta n_i - t_i) / t_i)^2, so that small messages count as much
/// as large ones; a negative parameter is set to zero and the other fitted alone. One point: beta
/// only. Precondition: points not empty, times above 0. Source: Hockney 1994 (the model). Test:
/// costmodel/collective_calibration_test.cc.
AlphaBeta fit_alpha_beta(std::span<const SizedTime> points);

/// Built once from measurements of one kind of device, then immutable and thread-safe.
///
/// The answer for kind, ranks and bytes, on a cluster whose ranks share a node exactly when the
/// measured ones did, is the first of:
///   measured       the same size at the same placement;
///   interpolated   piecewise linear between measured sizes; beyond them the fit;
///   calibrated     the fit of the nearest number of ranks (of the same kind, else of another), its
///   alpha and its beta each
///                  scaled by the ratio of the closed forms' latency and transfer parts.
/// Measurements are of as many servers as ranks; fewer servers are calibrated. Of several
/// transports the newest measurement's counts; of one size the newest measurement.
class CollectiveCalibration {
 public:
  /// `ranks_on_host`: RunContext::busy_ranks, how many of the ranks shared a host.
  void add(std::int64_t id, const CollectiveMeasurement& measurement, int ranks_on_host);
  /// Call once, after the last add().
  void finish();
  /// nullopt: nothing comparable was measured. Precondition: call.ranks > 1.
  std::optional<CollectiveCost> lookup(const CollectiveCall& call,
                                       const ClusterSpec& cluster) const;

 private:
  struct Point {
    Bytes bytes;
    std::int64_t id = 0;
    Seconds time;
    double relative_spread = 0;
    double cpu_share = 0;
  };
  struct Series {
    CollectiveKind kind = CollectiveKind::kAllReduce;
    int ranks = 1;
    int per_node = 1;
    std::string transport;
    std::int64_t newest = 0;
    std::vector<Point> points;  // by bytes
    AlphaBeta fit;
    bool spans_nodes() const { return ranks > per_node; }
  };
  const Series* nearest(const CollectiveCall& call, int per_node, bool spans_nodes) const;
  static CollectiveCost in_series(const Series& series, Bytes bytes);
  static CollectiveCost scaled(const Series& series, const CollectiveCall& call,
                               const ClusterSpec& cluster);

  std::vector<Series> series_;
};

}  // namespace pluto
