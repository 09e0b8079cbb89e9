#pragma once
// On what: devices, links, nodes, instance types with dated prices, clusters.

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/document.h"
#include "base/result.h"
#include "base/units.h"
#include "model/tensor.h"
#include "plan/rental.h"

namespace pluto {

enum class DeviceKind : std::uint8_t { kCpu, kGpu };
const char* to_text(DeviceKind kind);  ///< "cpu", "gpu"
Result<DeviceKind> parse_device_kind(std::string_view text);

/// One compute device (a GPU, or the cores one rank owns on a CPU node). Peaks are dense datasheet
/// figures.
struct DeviceSpec {
  std::string name;  ///< "H100 SXM", "Intel Xeon ... x1"
  DeviceKind kind = DeviceKind::kGpu;
  Bytes memory;
  BytesPerSecond memory_bandwidth;
  std::map<DType, FlopsPerSecond> peak;  ///< absent: the device does not have it
  /// What the time of a small op depends on; unset or 0 where unknown, and on CPUs.
  std::string generation;                   ///< "Volta", "Ampere", "CDNA 2"
  int multiprocessors = 0;                  ///< streaming multiprocessors or compute units
  Bytes cache;                              ///< second level, shared by all multiprocessors
  std::optional<FlopsPerSecond> tf32_peak;  ///< of f32 products rounded to TF32
  std::optional<FlopsPerSecond> f8_peak;    ///< of 8-bit floating products
  bool operator==(const DeviceSpec&) const = default;
};

/// One direction of a full-duplex link. Time of a message of n bytes: alpha + n / bandwidth *
/// (senders sharing it).
struct LinkSpec {
  std::string name;          ///< "NVLink4", "shared memory", "400 Gb/s InfiniBand"
  Seconds alpha;             ///< latency per message
  BytesPerSecond bandwidth;  ///< per direction
  int shared_by = 1;         ///< ranks whose traffic shares it when all send at once
  double cpu_share =
      0;  ///< fraction of the rank's compute device a transfer keeps busy (host copies), 0..1
  int interfaces = 1;  ///< cards `bandwidth` is split over evenly; one sender reaches one of them
  bool operator==(const LinkSpec&) const = default;
};

/// A node: equal devices, the link between them, its network interface.
struct NodeSpec {
  DeviceSpec device;
  int devices = 1;
  LinkSpec intra;
  LinkSpec network;
  int cores = 0;  ///< processor threads of the host; 0: unknown
  bool operator==(const NodeSpec&) const = default;
};

/// Something that can be rented. Prices are per node and hour, with their date and source.
struct InstanceType {
  std::string name;  ///< "aws:p4d.24xlarge", "local"
  NodeSpec node;
  DollarsPerHour price;  ///< on demand
  std::optional<DollarsPerHour> spot_price;
  std::string price_date;
  std::string source;
  std::optional<RentalTerms> rental = {};  ///< unset: a machine of one's own
  bool operator==(const InstanceType&) const = default;
};

/// How nodes are rented: until given back, or at a lower price until the provider takes them back.
enum class Market : std::uint8_t { kOnDemand, kSpot };
const char* to_text(Market market);  ///< "on_demand", "spot"
Result<Market> parse_market(std::string_view text);

/// Whole nodes of one instance type.
struct NodeGroup {
  InstanceType instance;
  int nodes = 1;
  bool operator==(const NodeGroup&) const = default;
};

/// Whole nodes of one instance type, or of several. Rank r runs on node r / devices; the ranks of
/// further groups come after those of the first.
struct ClusterSpec {
  InstanceType instance;
  int nodes = 1;
  std::vector<NodeGroup> more = {};  ///< nodes of other types
  Market market = Market::kOnDemand;
  int devices() const {
    int sum = nodes * instance.node.devices;
    for (const NodeGroup& group : more) sum += group.nodes * group.instance.node.devices;
    return sum;
  }
  /// Of all nodes, in `market`; an instance type without a spot price costs its price.
  DollarsPerHour price() const;
  /// The link every collective of `ranks` ranks is bound by: intra within one node, network across.
  const LinkSpec& bottleneck(int ranks) const {
    return ranks <= instance.node.devices ? instance.node.intra : instance.node.network;
  }
  bool operator==(const ClusterSpec&) const = default;
};

/// Each group of a cluster as a cluster of its own type that has all the ranks, with the slowest of
/// the links of all groups: what a rank of that group sees of a collective of all. One element for
/// a cluster of one type.
std::vector<ClusterSpec> views_by_group(const ClusterSpec& cluster);

/// JSON forms, units in the keys; docs/plan_format.md lists them. Readers are strict; `where` is
/// the place of the value in its document (see ObjectReader). Errors: kInvalidInput with that
/// place.
Value to_value(const InstanceType& instance);
Value to_value(const ClusterSpec& cluster);
Result<InstanceType> instance_from_value(const Value& value, const std::string& where);
Result<ClusterSpec> cluster_from_value(const Value& value, const std::string& where);

}  // namespace pluto
