#pragma once
// What does one thing cost on one device or link? The narrow interface between evidence and
// simulation.

#include <cstdint>
#include <string>

#include "base/result.h"
#include "model/op_schema.h"
#include "plan/cluster.h"
#include "plan/measurement.h"
#include "plan/prediction.h"
#include "plan/strategy.h"

namespace pluto {

struct OpCost {
  Seconds time{};
  double relative_spread = 0;
  Evidence evidence = Evidence::kAssumed;
  Bytes workspace{};
};

/// One collective over a group of ranks of a cluster.
struct CollectiveCall {
  CollectiveKind kind = CollectiveKind::kAllReduce;
  Bytes bytes{};    ///< in CollectiveMeasurement's convention
  int ranks = 1;    ///< send: 2
  int servers = 1;  ///< owners of shards in reduce_scatter and all_gather
  CollectiveAlgorithm algorithm = CollectiveAlgorithm::kRing;
  int per_node = 0;      ///< ranks of the group on one node; 0: the group fills node after node
  int groups = 1;        ///< groups of a node that do the same at once and share its network
  int server_nodes = 0;  ///< nodes of the owners, where these are no ranks of the group
};
struct CollectiveCost {
  Seconds time{};
  double relative_spread = 0;
  Evidence evidence = Evidence::kAssumed;
  double cpu_share = 0;       ///< of the rank's compute device while it runs
  double beside_compute = 1;  ///< its rate while the device computes, over its rate alone
  double beside_other = 1;    ///< its rate while the network's other direction is busy
  double sharing_spread = 0;  ///< relative, of what compute loses
  Evidence sharing_evidence = Evidence::kMeasured;  ///< of the three rates
};

/// Pure and thread-safe.
class CostSource {
 public:
  virtual ~CostSource() = default;
  /// `busy_ranks`: ranks computing on the same host at the same time.
  virtual OpCost op(const OpSignature& signature, const DeviceSpec& device,
                    int busy_ranks) const = 0;
  virtual CollectiveCost collective(const CollectiveCall& call,
                                    const ClusterSpec& cluster) const = 0;
  /// Time one reader needs for a sample of `bytes`.
  virtual OpCost input_sample(const std::string& source, Bytes bytes) const = 0;
  /// Resident memory of a worker process besides arena and data; nullopt when never measured.
  virtual std::optional<Bytes> process_overhead() const = 0;
  /// Last measurement id the answers rest on; 0 when none.
  virtual std::int64_t watermark() const = 0;
  /// One sentence on what analytic op times of this device rest on; empty when there is nothing to
  /// say.
  virtual std::string op_basis(const DeviceSpec&) const { return {}; }
};

}  // namespace pluto
