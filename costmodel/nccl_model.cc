#include "costmodel/nccl_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <string_view>

#include "base/document.h"
#include "costmodel/collective_time.h"

namespace pluto {

namespace {

constexpr std::array<const char*, kNcclProtocolCount> kProtocols = {"ll", "ll128", "simple"};

Result<double> not_negative(ObjectReader& reader, std::string_view key) {
  PLUTO_ASSIGN(const double number, reader.number(key));
  if (!(number >= 0)) return reader.error(key, "must not be negative");
  return number;
}

Result<Seconds> microseconds(ObjectReader& reader, std::string_view key) {
  PLUTO_ASSIGN(const double number, not_negative(reader, key));
  return Seconds(number * 1e-6);
}

Result<Seconds> latency(ObjectReader& reader, std::string_view key) {
  PLUTO_ASSIGN(const double number, reader.number(key));
  if (!(number > 0)) return reader.error(key, "must be positive");
  return Seconds(number * 1e-6);
}

Result<double> fraction(ObjectReader& reader, std::string_view key) {
  PLUTO_ASSIGN(const double number, reader.number(key));
  if (!(number > 0 && number <= 1)) return reader.error(key, "is a fraction: above 0, at most 1");
  return number;
}

/// Opens the member `key`, reads it, refuses what was not asked for.
template <class Read>
Result<void> section(ObjectReader& parent, std::string_view key, Read read) {
  PLUTO_ASSIGN(const Value* value, parent.object(key));
  PLUTO_ASSIGN(auto reader, ObjectReader::open(*value, parent.place(key)));
  PLUTO_TRY(read(reader));
  return reader.finish();
}

Result<void> read_protocol(ObjectReader& reader, NcclProtocolCost& protocol) {
  PLUTO_ASSIGN(protocol.start, microseconds(reader, "start_us"));
  PLUTO_ASSIGN(protocol.steps, not_negative(reader, "steps"));
  PLUTO_ASSIGN(protocol.bandwidth, fraction(reader, "bandwidth"));
  PLUTO_ASSIGN(protocol.network_bandwidth, fraction(reader, "network_bandwidth"));
  PLUTO_TRY(reader.string("source"));
  return {};
}

Result<void> read_steps(ObjectReader& reader, std::array<Seconds, kNcclProtocolCount>& steps) {
  for (std::size_t i = 0; i < kNcclProtocolCount; ++i) {
    PLUTO_ASSIGN(steps[i], microseconds(reader, kProtocols[i]));
  }
  return {};
}

Result<void> read_network(ObjectReader& reader, NcclNetwork& network) {
  PLUTO_ASSIGN(network.bandwidth, fraction(reader, "bandwidth"));
  PLUTO_ASSIGN(network.reference_alpha, latency(reader, "reference_alpha_us"));
  PLUTO_TRY(section(reader, "ring_us", [&](auto& one) { return read_steps(one, network.ring); }));
  PLUTO_TRY(section(reader, "tree_us", [&](auto& one) { return read_steps(one, network.tree); }));
  PLUTO_ASSIGN(network.tree_bandwidth, fraction(reader, "tree_bandwidth"));
  PLUTO_TRY(reader.string("source"));
  return {};
}

Result<void> read_pairs(ObjectReader& reader, NcclPairs& pairs) {
  PLUTO_ASSIGN(pairs.start, microseconds(reader, "start_us"));
  PLUTO_ASSIGN(pairs.simple_start, microseconds(reader, "simple_start_us"));
  PLUTO_ASSIGN(const double rate, reader.number("ll_bytes_per_s"));
  if (!(rate > 0)) return reader.error("ll_bytes_per_s", "must be positive");
  pairs.ll_rate = BytesPerSecond(rate);
  PLUTO_ASSIGN(pairs.bandwidth, fraction(reader, "bandwidth"));
  PLUTO_TRY(reader.string("source"));
  return {};
}

Result<void> read_link(ObjectReader& reader, NcclLink& link) {
  PLUTO_ASSIGN(link.base, microseconds(reader, "base_us"));
  PLUTO_ASSIGN(link.step, microseconds(reader, "step_us"));
  PLUTO_ASSIGN(link.reference_alpha, latency(reader, "reference_alpha_us"));
  PLUTO_ASSIGN(link.bandwidth, fraction(reader, "bandwidth"));
  PLUTO_ASSIGN(link.local, not_negative(reader, "local"));
  PLUTO_ASSIGN(link.nvls, not_negative(reader, "nvls"));
  PLUTO_ASSIGN(const Value::Array* rings, reader.array("rings"));
  for (const auto& share : *rings) {
    if (!share.is_number() || !(share.as_number() > 0 && share.as_number() <= 1)) {
      return reader.error("rings", "holds fractions: above 0, at most 1");
    }
    link.rings.push_back(share.as_number());
  }
  PLUTO_ASSIGN(link.fitted, reader.boolean("fitted"));
  PLUTO_ASSIGN(link.spread, not_negative(reader, "spread"));
  PLUTO_TRY(reader.string("source"));
  return {};
}

/// One call on one cluster, the parts all algorithms share.
class Pricing {
 public:
  Pricing(const CollectiveCall& call, const ClusterSpec& cluster, const NcclTable& table)
      : call_(call),
        node_(cluster.instance.node),
        table_(table),
        link_(table.of(node_.intra.name)),
        place_(placement_of(cluster, call)),
        bytes_(static_cast<double>(call.bytes.value())),
        near_alpha_(node_.intra.alpha / link_.reference_alpha),
        far_alpha_(node_.network.alpha / table.network.reference_alpha) {
    const auto& rings = link_.rings;
    const double share =
        rings.empty() ? 1 : rings[std::min(rings.size(), std::size_t(place_.per_node)) - 1];
    wire_ = node_.intra.bandwidth.value() * link_.bandwidth * share;
    // Ranks that are fewer than the interfaces reach as many of these as they are.
    const int senders = place_.per_node * std::max(1, call.groups);
    const double reached =
        std::min(1.0, static_cast<double>(senders) / std::max(1, node_.network.interfaces));
    interface_ = node_.network.bandwidth.value() * table.network.bandwidth * reached /
                 std::max(1, call.groups);
  }

  const RankPlacement& place() const { return place_; }
  bool reduces_all() const { return call_.kind == CollectiveKind::kAllReduce; }

  Seconds ring(NcclProtocol protocol) const {
    const double trips = reduces_all() ? 2 : 1;
    const double steps = trips * (place_.ranks - 1);
    const double volume = call_.kind == CollectiveKind::kBroadcast ? 1 : steps / place_.ranks;
    const double far = place_.nodes == 1 ? 0 : trips * (place_.nodes - 1);
    return start(protocol) + near_steps(protocol, steps - far) +
           table_.network.ring[index(protocol)] * (far * far_alpha_) + moved(protocol, volume, 1);
  }

  Seconds tree(NcclProtocol protocol) const {
    const double far = 2.0 * std::bit_width(static_cast<unsigned>(place_.nodes - 1));
    return start(protocol) + near_steps(protocol, 2.0 * (place_.per_node - 1)) +
           table_.network.tree[index(protocol)] * (far * far_alpha_) +
           moved(protocol, 2, table_.network.tree_bandwidth);
  }

  Seconds nvls() const {
    return link_.base + table_.nvls_start * near_alpha_ +
           Seconds(bytes_ * (1 + 1.0 / place_.ranks) /
                   (link_.nvls * node_.intra.bandwidth.value()));
  }

  /// The protocol that is faster, and its time.
  NcclCost pairs() const {
    const bool all = call_.kind == CollectiveKind::kAllToAll;
    const double parts = all ? place_.ranks : 1;
    const double near_parts = all ? place_.per_node - 1 : place_.nodes == 1 ? 1 : 0;
    // What the ranks of a node have for other nodes goes through its interface.
    const double far_parts =
        place_.nodes == 1 ? 0
        : all             ? static_cast<double>(place_.per_node) * (place_.ranks - place_.per_node)
                          : 1;
    const auto& pairs = table_.pairs;
    const double part = bytes_ / parts;
    const double near = near_parts > 0 ? near_parts * part / (wire_ * pairs.bandwidth) : 0;
    const double far = far_parts > 0 ? far_parts * part / interface_ : 0;
    const double copies =
        local(0.5 + (all ? table_.own_copy_pairs / parts : 0), NcclProtocol::kSimple);
    const double near_message = part / pairs.ll_rate.value();
    // LL uses half of an interface at best.
    const double small = std::max(near_message, 2 * far);
    const double large = pairs.simple_start.value() + std::max(near, far) + copies;
    const double hop = far_parts > 0 ? table_.network.ring[0].value() * far_alpha_ : 0;
    return {.time = link_.base + pairs.start * near_alpha_ + Seconds(hop + std::min(small, large)),
            .algorithm = NcclAlgorithm::kPairs,
            .protocol = small < large ? NcclProtocol::kLL : NcclProtocol::kSimple};
  }

  bool has_nvls() const { return reduces_all() && place_.nodes == 1 && link_.nvls > 0; }
  bool has_tree() const { return reduces_all() && place_.nodes > 1; }
  const NcclLink& link() const { return link_; }

 private:
  static std::size_t index(NcclProtocol protocol) { return static_cast<std::size_t>(protocol); }
  const NcclProtocolCost& of(NcclProtocol protocol) const {
    return table_.protocols[index(protocol)];
  }
  /// Seconds of work on the GPU's own side; a node of one GPU may have no link to measure it by.
  double local(double times, NcclProtocol protocol) const {
    const double raw = node_.intra.bandwidth.value();
    return raw > 0 ? link_.local * times * bytes_ / (raw * of(protocol).bandwidth) : 0;
  }

  Seconds start(NcclProtocol protocol) const { return link_.base + of(protocol).start; }
  Seconds near_steps(NcclProtocol protocol, double steps) const {
    return link_.step * (steps * of(protocol).steps * near_alpha_);
  }

  /// `volume` times the buffer over the links and the work beside it; the interface, which its own
  /// engine feeds, runs at the same time.
  Seconds moved(NcclProtocol protocol, double volume, double share) const {
    const auto& costs = of(protocol);
    double seconds = 0;
    if (place_.per_node > 1) seconds += bytes_ * volume / (wire_ * costs.bandwidth * share);
    if (protocol != NcclProtocol::kLL) {
      seconds += local(reduces_all() ? 1 : 0.5 + table_.own_copy / place_.ranks, protocol);
    }
    if (place_.nodes == 1) return Seconds(seconds);
    return Seconds(
        std::max(seconds, bytes_ * volume / (interface_ * costs.network_bandwidth * share)));
  }

  const CollectiveCall& call_;
  const NodeSpec& node_;
  const NcclTable& table_;
  const NcclLink& link_;
  RankPlacement place_;
  double bytes_;
  double near_alpha_, far_alpha_;  ///< latencies over their references
  double wire_ = 0;                ///< of the links inside a node, for rings
  double interface_ = 0;           ///< of the network, for this group
};

}  // namespace

const char* to_text(NcclProtocol protocol) {
  return kProtocols[static_cast<std::size_t>(protocol)];
}

const char* to_text(NcclAlgorithm algorithm) {
  switch (algorithm) {
    case NcclAlgorithm::kRing:
      return "ring";
    case NcclAlgorithm::kTree:
      return "tree";
    case NcclAlgorithm::kNvls:
      return "nvls";
    case NcclAlgorithm::kPairs:
      return "pairs";
  }
  return "?";
}

namespace {

/// The entry that stands for `link`; end when only `other` does.
std::map<std::string, NcclLink>::const_iterator find_link(const NcclTable& table,
                                                          const std::string& link) {
  auto best = table.links.end();
  for (auto one = table.links.begin(); one != table.links.end(); ++one) {
    if (!link.starts_with(one->first)) continue;
    if (best == table.links.end() || one->first.size() > best->first.size()) best = one;
  }
  return best;
}

}  // namespace

const NcclLink& NcclTable::of(const std::string& link) const {
  const auto found = find_link(*this, link);
  return found != links.end() ? found->second : links.at(other);
}

bool NcclTable::knows(const std::string& link) const {
  return find_link(*this, link) != links.end();
}

Result<NcclTable> load_nccl(const std::string& path) {
  PLUTO_ASSIGN(const Value document, read_document(path));
  PLUTO_ASSIGN(auto reader, ObjectReader::open(document, path));
  PLUTO_ASSIGN(const auto schema, reader.integer("schema"));
  if (schema != 1) return reader.error("schema", fmt::format("{} is not supported", schema));
  PLUTO_TRY(reader.string("about"));
  NcclTable table;
  PLUTO_TRY(section(reader, "protocols", [&](ObjectReader& protocols) -> Result<void> {
    for (std::size_t i = 0; i < kNcclProtocolCount; ++i) {
      PLUTO_TRY(section(protocols, kProtocols[i],
                        [&](auto& one) { return read_protocol(one, table.protocols[i]); }));
    }
    return {};
  }));
  PLUTO_TRY(section(reader, "nvls", [&](ObjectReader& one) -> Result<void> {
    PLUTO_ASSIGN(table.nvls_start, microseconds(one, "start_us"));
    PLUTO_TRY(one.string("source"));
    return {};
  }));
  PLUTO_TRY(section(reader, "own_copy", [&](ObjectReader& one) -> Result<void> {
    PLUTO_ASSIGN(table.own_copy, not_negative(one, "ring"));
    PLUTO_ASSIGN(table.own_copy_pairs, not_negative(one, "pairs"));
    PLUTO_TRY(one.string("source"));
    return {};
  }));
  PLUTO_TRY(section(reader, "pairs", [&](auto& one) { return read_pairs(one, table.pairs); }));
  PLUTO_TRY(
      section(reader, "network", [&](auto& one) { return read_network(one, table.network); }));
  PLUTO_ASSIGN(table.other, reader.string("other"));
  PLUTO_ASSIGN(const Value* links, reader.object("links"));
  PLUTO_TRY(section(reader, "links", [&](ObjectReader& all) -> Result<void> {
    for (const auto& entry : links->as_object()) {
      auto& link = table.links[entry.first];
      PLUTO_TRY(section(all, entry.first, [&](auto& one) { return read_link(one, link); }));
    }
    return {};
  }));
  if (!table.links.contains(table.other)) {
    return reader.error("other", fmt::format("\"{}\" is no entry of links", table.other));
  }
  PLUTO_TRY(reader.finish());
  return table;
}

namespace {

/// reduce_scatter inside nodes, all_reduce of each shard across them, all_gather inside.
NcclCost hierarchical(const CollectiveCall& call, const ClusterSpec& cluster,
                      const NcclTable& table, const RankPlacement& place) {
  const Bytes shard(call.bytes.value() / place.per_node);
  CollectiveCall inside = call, across = call;
  inside.algorithm = across.algorithm = CollectiveAlgorithm::kRing;
  inside.ranks = inside.servers = inside.per_node = place.per_node;
  inside.groups = 1;
  inside.kind = CollectiveKind::kReduceScatter;
  NcclCost cost = nccl_time(inside, cluster, table);
  inside.kind = CollectiveKind::kAllGather;
  cost.time += nccl_time(inside, cluster, table).time;
  across.ranks = across.servers = place.nodes;
  across.per_node = 1;
  across.groups = call.groups * place.per_node;
  across.bytes = shard;
  cost.time += nccl_time(across, cluster, table).time;
  cost.fitted = false;
  return cost;
}

}  // namespace

NcclCost nccl_time(const CollectiveCall& call, const ClusterSpec& cluster, const NcclTable& table) {
  const Pricing pricing(call, cluster, table);
  NcclCost best;
  const bool tree = call.algorithm == CollectiveAlgorithm::kTree && pricing.has_tree();
  if (call.kind == CollectiveKind::kAllToAll || call.kind == CollectiveKind::kSend) {
    best = pricing.pairs();
  } else if (call.algorithm == CollectiveAlgorithm::kHierarchical && pricing.has_tree() &&
             pricing.place().per_node > 1) {
    return hierarchical(call, cluster, table, pricing.place());
  } else if (tree) {
    best = {.time = pricing.tree(NcclProtocol::kSimple), .algorithm = NcclAlgorithm::kTree};
    for (const auto protocol : {NcclProtocol::kLL, NcclProtocol::kLL128}) {
      const Seconds time = pricing.tree(protocol);
      if (time < best.time) {
        best = {.time = time, .algorithm = NcclAlgorithm::kTree, .protocol = protocol};
      }
    }
  } else {
    best.time = pricing.ring(NcclProtocol::kSimple);
    const auto consider = [&](NcclAlgorithm algorithm, NcclProtocol protocol, Seconds time) {
      if (time < best.time) best = {.time = time, .algorithm = algorithm, .protocol = protocol};
    };
    for (const auto protocol : {NcclProtocol::kLL, NcclProtocol::kLL128, NcclProtocol::kSimple}) {
      consider(NcclAlgorithm::kRing, protocol, pricing.ring(protocol));
      if (pricing.has_tree()) consider(NcclAlgorithm::kTree, protocol, pricing.tree(protocol));
    }
    if (pricing.has_nvls()) {
      consider(NcclAlgorithm::kNvls, NcclProtocol::kSimple, pricing.nvls());
    }
  }
  const std::string& name = cluster.instance.node.intra.name;
  best.fitted = pricing.link().fitted && table.knows(name) && pricing.place().nodes == 1;
  best.spread = pricing.link().spread;
  return best;
}

}  // namespace pluto
