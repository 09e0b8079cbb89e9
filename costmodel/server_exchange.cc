#include "costmodel/server_exchange.h"

#include <algorithm>
#include <utility>

namespace pluto {

namespace {

bool sends_shards(const CollectiveCall& call) {
  return call.kind == CollectiveKind::kReduceScatter || call.kind == CollectiveKind::kAllGather;
}

/// What a rank sends in a push, or one way of it.
PortVolume reversed(PortVolume volume) { return {volume.in, volume.out}; }

}  // namespace

bool goes_to_servers(const CollectiveCall& call) {
  return call.kind == CollectiveKind::kGather || (call.server_nodes > 0 && sends_shards(call));
}

CollectiveTime server_exchange_time(const CollectiveCall& call, const ClusterSpec& cluster,
                                    bool reduce) {
  const auto place = placement_of(cluster, call);
  const NodeSpec& node = cluster.instance.node;
  const auto bytes = static_cast<double>(call.bytes.value());
  const auto messages = [](const LinkSpec& link, double count, double total) {
    return CollectiveTime{link.alpha * count, Seconds(total / link.bandwidth.value())};
  };
  if (call.kind == CollectiveKind::kGather) {
    const double block = bytes / call.ranks;
    const double far_sharing = link_sharing(node.network, call.groups);
    if (call.server_nodes > 0) {
      return messages(node.network, call.ranks, call.ranks * block * far_sharing);
    }
    const double near = place.per_node - 1, far = place.ranks - place.per_node;
    const auto inside = messages(node.intra, near, near * block * link_sharing(node.intra, 1));
    if (place.nodes == 1) return inside;
    const auto across = messages(node.network, far, far * block * far_sharing);
    return across.total() < inside.total() ? inside : across;
  }
  const int servers = std::max(1, call.servers);
  const int together = (servers + call.server_nodes - 1) / call.server_nodes;
  const double ranks = call.ranks;
  const double at_rank = bytes * link_sharing(node.network, place.per_node * call.groups);
  const double at_server = ranks * bytes / servers * link_sharing(node.network, together);
  auto time =
      messages(node.network, std::max<double>(ranks, servers), std::max(at_rank, at_server));
  const double memory = node.device.memory_bandwidth.value();
  if (reduce && call.kind == CollectiveKind::kReduceScatter && memory > 0) {
    time.transfer += Seconds(3 * bytes / servers * (ranks - 1) / memory);
  }
  return time;
}

PortVolume rank_volume(const CollectiveCall& call) {
  if (call.ranks <= 1) return {};
  const auto bytes = static_cast<double>(call.bytes.value());
  if (call.kind == CollectiveKind::kGather) return {bytes / call.ranks, 0};
  if (!sends_shards(call)) return {};
  const PortVolume push{bytes, 0};
  return call.kind == CollectiveKind::kReduceScatter ? push : reversed(push);
}

PortVolume owner_volume(const CollectiveCall& call) {
  if (call.ranks <= 1) return {};
  const auto bytes = static_cast<double>(call.bytes.value());
  const double ranks = call.ranks, servers = std::max(1, call.servers);
  const bool apart = call.server_nodes > 0;
  if (call.kind == CollectiveKind::kGather) {
    return {0, apart ? bytes : bytes * (ranks - 1) / ranks};
  }
  if (!sends_shards(call)) return {};
  const PortVolume push =
      apart ? PortVolume{0, ranks * bytes / servers}
            : PortVolume{bytes * (servers - 1) / servers, bytes * (ranks - 1) / servers};
  return call.kind == CollectiveKind::kReduceScatter ? push : reversed(push);
}

}  // namespace pluto
