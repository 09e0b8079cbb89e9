#include "costmodel/collective_time.h"

#include <algorithm>
#include <cmath>

namespace pluto {

namespace {

/// `count` messages of `bytes`, one after another, each sharing the link with `senders` of its
/// users in all.
CollectiveTime messages(const LinkSpec& link, double count, double bytes, double total_senders) {
  return {link.alpha * count, Seconds(bytes * total_senders / link.bandwidth.value())};
}

double sharing(const LinkSpec& link, int senders) {
  return std::max(1, std::min(link.shared_by, senders));
}

const CollectiveTime& slower(const CollectiveTime& a, const CollectiveTime& b) {
  return a.total() < b.total() ? b : a;
}

CollectiveTime ring(const RankPlacement& place, const NodeSpec& node, double bytes) {
  const double steps = 2.0 * (place.ranks - 1);
  const double chunk = bytes / place.ranks;
  const double inside = sharing(node.intra, place.per_node);
  if (place.nodes == 1) return messages(node.intra, steps, chunk, steps * inside);
  const auto between = messages(node.network, steps, chunk, steps);
  if (place.per_node == 1) return between;
  return slower(messages(node.intra, steps, chunk, steps * inside), between);
}

/// Owners of a shard on one node, spread evenly.
int owners_per_node(const RankPlacement& place, int servers) {
  return std::min(place.per_node, (servers + place.nodes - 1) / place.nodes);
}

/// Of the distances 1 .. P-1, at how many a message reaches another node: L - 1 reach ranks of the
/// own node only, unless another owner of it is further off.
int crossing_distances(const RankPlacement& place, int owners) {
  return place.ranks - 1 - (place.per_node - owners);
}

/// Sum over those distances of how many senders share a link of `link.shared_by` users.
double shared_distances(const RankPlacement& place, const LinkSpec& link, int owners) {
  double sum = 0;
  int ramp = 0;  // distances at which fewer than `owners` ranks of a node reach another node
  for (int crossing = 1; crossing < owners && 2 * crossing <= place.ranks; ++crossing) {
    const int times = 2 * crossing == place.ranks ? 1 : 2;
    sum += times * sharing(link, crossing);
    ramp += times;
  }
  return sum + (crossing_distances(place, owners) - ramp) * sharing(link, owners);
}

CollectiveTime direct(const RankPlacement& place, const NodeSpec& node, double bytes, int servers) {
  const double steps = place.ranks - 1;
  const double shard = bytes / servers;
  if (place.nodes == 1) {
    return messages(node.intra, steps, shard, steps * sharing(node.intra, servers));
  }
  const int owners = owners_per_node(place, servers);
  auto between = messages(node.network, crossing_distances(place, owners), shard,
                          shared_distances(place, node.network, owners));
  if (place.per_node == 1) return between;
  const double inside = place.per_node - owners;
  const auto rest = messages(node.intra, inside, shard, inside * sharing(node.intra, owners));
  between.latency += rest.latency;
  between.transfer += rest.transfer;
  const double near = 2.0 * (place.per_node - 1);
  return slower(messages(node.intra, near, shard, near * sharing(node.intra, place.per_node)),
                between);
}

}  // namespace

RankPlacement placement_of(const ClusterSpec& cluster, int ranks) {
  const int devices = std::max(1, cluster.instance.node.devices);
  return {ranks, std::min(ranks, devices), std::max(1, (ranks + devices - 1) / devices)};
}

CollectiveTime collective_time(const CollectiveCall& call, const ClusterSpec& cluster,
                               bool reduce) {
  if (call.ranks <= 1) return {};
  const auto place = placement_of(cluster, call.ranks);
  const auto& node = cluster.instance.node;
  const auto bytes = static_cast<double>(call.bytes.value());
  const int servers = std::clamp(call.servers, 1, call.ranks);
  const double added_per_byte = reduce && node.device.memory_bandwidth.value() > 0
                                    ? 3.0 / node.device.memory_bandwidth.value()
                                    : 0.0;
  CollectiveTime time;
  switch (call.kind) {
    case CollectiveKind::kAllReduce:
      time = ring(place, node, bytes);
      time.transfer += Seconds(added_per_byte * bytes * (place.ranks - 1) / place.ranks);
      break;
    case CollectiveKind::kReduceScatter:
      time = direct(place, node, bytes, servers);
      time.transfer += Seconds(added_per_byte * bytes * (place.ranks - 1) / servers);
      break;
    case CollectiveKind::kAllGather:
      time = direct(place, node, bytes, servers);
      break;
    case CollectiveKind::kBroadcast: {
      const double rounds = std::ceil(std::log2(static_cast<double>(place.ranks)));
      time = messages(cluster.bottleneck(call.ranks), rounds, bytes, rounds);
      break;
    }
  }
  return time;
}

double bytes_per_direction(const CollectiveCall& call) {
  if (call.ranks <= 1) return 0;
  const auto bytes = static_cast<double>(call.bytes.value());
  const double others = call.ranks - 1;
  switch (call.kind) {
    case CollectiveKind::kAllReduce:
      return 2 * bytes * others / call.ranks;
    case CollectiveKind::kReduceScatter:
    case CollectiveKind::kAllGather:
      return bytes * others / std::clamp(call.servers, 1, call.ranks);
    case CollectiveKind::kBroadcast:
      return bytes;
  }
  return 0;
}

}  // namespace pluto
