#include "costmodel/collective_time.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace pluto {

namespace {

/// `count` messages of `bytes`, one after another, each sharing the link with `senders` of its
/// users in all.
CollectiveTime messages(const LinkSpec& link, double count, double bytes, double total_senders) {
  return {link.alpha * count, Seconds(bytes * total_senders / link.bandwidth.value())};
}

const CollectiveTime& slower(const CollectiveTime& a, const CollectiveTime& b) {
  return a.total() < b.total() ? b : a;
}

CollectiveTime operator+(const CollectiveTime& a, const CollectiveTime& b) {
  return {a.latency + b.latency, a.transfer + b.transfer};
}

CollectiveTime operator*(double times, const CollectiveTime& a) {
  return {a.latency * times, a.transfer * times};
}

int floor_log2(int ranks) { return std::bit_width(static_cast<unsigned>(ranks)) - 1; }
int ceil_log2(int ranks) { return ranks <= 1 ? 0 : floor_log2(ranks - 1) + 1; }

/// The links of a group, with what its messages share them with.
class Group {
 public:
  Group(const RankPlacement& place, const NodeSpec& node, int groups)
      : place_(place), node_(node), groups_(std::max(1, groups)) {}

  /// One message of `bytes` while `senders` ranks of each node send.
  CollectiveTime inside(double bytes, int senders) const {
    return messages(node_.intra, 1, bytes, sharing(node_.intra, senders));
  }
  CollectiveTime across(double bytes, int senders) const {
    return messages(node_.network, 1, bytes, sharing(node_.network, senders));
  }

  CollectiveTime ring(double bytes) const {
    const double steps = 2.0 * (place_.ranks - 1);
    const double chunk = bytes / place_.ranks;
    if (place_.nodes == 1) return steps * inside(chunk, place_.per_node);
    if (place_.per_node == 1) return steps * across(chunk, 1);
    return steps * slower(inside(chunk, place_.per_node), across(chunk, 1));
  }

  CollectiveTime tree(double bytes) const {
    const int near = ceil_log2(place_.per_node), far = ceil_log2(place_.nodes);
    CollectiveTime best;
    // The same choices for every size, so that more bytes are never faster.
    constexpr double kMostChunks = 1 << 20;
    for (double chunks = 1; chunks <= kMostChunks; chunks *= 2) {
      const auto hop = inside(bytes / chunks, place_.per_node);
      const auto leap = across(bytes / chunks, 1);
      const auto widest = far == 0 ? hop : near == 0 ? leap : slower(hop, leap);
      const auto time = 2 * (near * hop + far * leap + (chunks - 1) * widest);
      if (chunks == 1 || time.total() < best.total()) best = time;
    }
    return best;
  }

  /// Exchanges at the distances 1, 2, 4 ...; `halve`: of half, a quarter ... of the bytes, there
  /// and back.
  CollectiveTime doubling(double bytes, bool halve) const {
    CollectiveTime time;
    const int rounds = floor_log2(place_.ranks);
    for (int round = 0; round < rounds; ++round) {
      const int reach = 2 << round;
      const bool near = place_.nodes == 1 || place_.per_node % reach == 0;
      const double part = halve ? bytes / reach : bytes;
      const auto one = near ? inside(part, place_.per_node) : across(part, place_.per_node);
      time = time + (halve ? 2 : 1) * one;
    }
    if ((1 << rounds) == place_.ranks) return time;
    const auto fold =
        place_.nodes == 1 ? inside(bytes, place_.per_node) : across(bytes, place_.per_node);
    return time + 2 * fold;
  }

  CollectiveTime hierarchical(double bytes) const {
    const int local = place_.per_node, nodes = place_.nodes;
    return 2.0 * (local - 1) * inside(bytes / local, local) +
           2.0 * (nodes - 1) * across(bytes / local / nodes, local);
  }

  CollectiveTime direct(double bytes, int servers) const {
    const double shard = bytes / servers;
    if (place_.nodes == 1) return (place_.ranks - 1.0) * inside(shard, servers);
    const int owners = owners_per_node(servers);
    const auto between =
        messages(node_.network, crossing_distances(owners), shard, shared_distances(owners)) +
        (place_.per_node - owners) * inside(shard, owners);
    if (place_.per_node == 1) return between;
    return slower(2.0 * (place_.per_node - 1) * inside(shard, place_.per_node), between);
  }

  CollectiveTime all_reduce(CollectiveAlgorithm algorithm, double bytes) const {
    switch (algorithm) {
      case CollectiveAlgorithm::kRing:
        return ring(bytes);
      case CollectiveAlgorithm::kTree:
        return tree(bytes);
      case CollectiveAlgorithm::kHalvingDoubling:
        return doubling(bytes, true);
      case CollectiveAlgorithm::kRecursiveDoubling:
        return doubling(bytes, false);
      case CollectiveAlgorithm::kHierarchical:
        return hierarchical(bytes);
    }
    return {};
  }

  /// Bytes a rank adds, as a multiple of the buffer.
  double added(CollectiveAlgorithm algorithm) const {
    const double ranks = place_.ranks, local = place_.per_node, nodes = place_.nodes;
    const double core = 1 << floor_log2(place_.ranks), folded = core == ranks ? 0 : 1;
    switch (algorithm) {
      case CollectiveAlgorithm::kRing:
        return (ranks - 1) / ranks;
      case CollectiveAlgorithm::kTree:
        return place_.ranks > 2 ? 2 : 1;
      case CollectiveAlgorithm::kHalvingDoubling:
        return (core - 1) / core + folded;
      case CollectiveAlgorithm::kRecursiveDoubling:
        return floor_log2(place_.ranks) + folded;
      case CollectiveAlgorithm::kHierarchical:
        return (local - 1) / local + (nodes - 1) / (local * nodes);
    }
    return 0;
  }

 private:
  double sharing(const LinkSpec& link, int senders) const {
    const int together = &link == &node_.network ? senders * groups_ : senders;
    return std::max(
        {1, std::min(link.interfaces, link.shared_by), std::min(link.shared_by, together)});
  }

  /// Owners of a shard on one node, spread evenly.
  int owners_per_node(int servers) const {
    return std::min(place_.per_node, (servers + place_.nodes - 1) / place_.nodes);
  }

  /// Of the distances 1 .. P-1, at how many a message reaches another node: L - 1 reach ranks of
  /// the own node only, unless another owner of it is further off.
  int crossing_distances(int owners) const { return place_.ranks - 1 - (place_.per_node - owners); }

  /// Sum over those distances of how many senders share the network.
  double shared_distances(int owners) const {
    double sum = 0;
    int ramp = 0;  // distances at which fewer than `owners` ranks of a node reach another node
    for (int crossing = 1; crossing < owners && 2 * crossing <= place_.ranks; ++crossing) {
      const int times = 2 * crossing == place_.ranks ? 1 : 2;
      sum += times * sharing(node_.network, crossing);
      ramp += times;
    }
    return sum + (crossing_distances(owners) - ramp) * sharing(node_.network, owners);
  }

  const RankPlacement& place_;
  const NodeSpec& node_;
  int groups_;
};

}  // namespace

RankPlacement placement_of(const ClusterSpec& cluster, int ranks) {
  const int devices = std::max(1, cluster.instance.node.devices);
  return {ranks, std::min(ranks, devices), std::max(1, (ranks + devices - 1) / devices)};
}

RankPlacement placement_of(const ClusterSpec& cluster, const CollectiveCall& call) {
  if (call.per_node <= 0) return placement_of(cluster, call.ranks);
  const int local = std::min(call.per_node, call.ranks);
  return {call.ranks, local, (call.ranks + local - 1) / local};
}

CollectiveTime collective_time(const CollectiveCall& call, const ClusterSpec& cluster,
                               bool reduce) {
  if (call.ranks <= 1) return {};
  const auto place = placement_of(cluster, call);
  const auto& node = cluster.instance.node;
  const Group group(place, node, call.groups);
  const auto bytes = static_cast<double>(call.bytes.value());
  const int servers = std::clamp(call.servers, 1, call.ranks);
  const double added_per_byte = reduce && node.device.memory_bandwidth.value() > 0
                                    ? 3.0 / node.device.memory_bandwidth.value()
                                    : 0.0;
  CollectiveTime time;
  switch (call.kind) {
    case CollectiveKind::kAllReduce:
      time = group.all_reduce(call.algorithm, bytes);
      time.transfer += Seconds(added_per_byte * bytes * group.added(call.algorithm));
      break;
    case CollectiveKind::kReduceScatter:
      time = group.direct(bytes, servers);
      time.transfer += Seconds(added_per_byte * bytes * (place.ranks - 1) / servers);
      break;
    case CollectiveKind::kAllGather:
      time = group.direct(bytes, servers);
      break;
    case CollectiveKind::kAllToAll:
      time = group.direct(bytes, place.ranks);
      break;
    case CollectiveKind::kBroadcast: {
      const double rounds = ceil_log2(place.ranks);
      const auto& link = place.nodes == 1 ? node.intra : node.network;
      time = messages(link, rounds, bytes, rounds);
      break;
    }
    case CollectiveKind::kSend:
      time = place.nodes == 1 ? group.inside(bytes, 1) : group.across(bytes, 1);
      break;
  }
  return time;
}

double bytes_per_direction(const CollectiveCall& call) {
  if (call.ranks <= 1) return 0;
  const auto bytes = static_cast<double>(call.bytes.value());
  const double others = call.ranks - 1;
  const double folded = std::has_single_bit(static_cast<unsigned>(call.ranks)) ? 0 : bytes;
  switch (call.kind) {
    case CollectiveKind::kAllReduce:
      switch (call.algorithm) {
        case CollectiveAlgorithm::kRing:
          return 2 * bytes * others / call.ranks;
        case CollectiveAlgorithm::kTree:
          return call.ranks > 2 ? 2 * bytes : bytes;
        case CollectiveAlgorithm::kHalvingDoubling: {
          const double core = 1 << floor_log2(call.ranks);
          return 2 * bytes * (core - 1) / core + folded;
        }
        case CollectiveAlgorithm::kRecursiveDoubling:
          return bytes * floor_log2(call.ranks) + folded;
        case CollectiveAlgorithm::kHierarchical: {
          const double local =
              std::clamp(call.per_node == 0 ? call.ranks : call.per_node, 1, call.ranks);
          const double nodes = std::ceil(call.ranks / local);
          return 2 * bytes * (local - 1) / local + 2 * bytes / local * (nodes - 1) / nodes;
        }
      }
      return 0;
    case CollectiveKind::kReduceScatter:
    case CollectiveKind::kAllGather:
      return bytes * others / std::clamp(call.servers, 1, call.ranks);
    case CollectiveKind::kAllToAll:
      return bytes * others / call.ranks;
    case CollectiveKind::kBroadcast:
    case CollectiveKind::kSend:
      return bytes;
  }
  return 0;
}

}  // namespace pluto
