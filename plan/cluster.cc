#include "plan/cluster.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "plan/document_parts.h"
#include "plan/words.h"

namespace pluto {
namespace {

constexpr std::array<Word<DeviceKind>, 2> kDeviceKinds = {
    {{DeviceKind::kCpu, "cpu"}, {DeviceKind::kGpu, "gpu"}}};
constexpr std::array<Word<Market>, 2> kMarkets = {
    {{Market::kOnDemand, "on_demand"}, {Market::kSpot, "spot"}}};

Value to_value(const LinkSpec& link) {
  Value value = Value::object();
  value.set("name", link.name)
      .set("alpha_s", link.alpha.value())
      .set("bandwidth_bytes_per_s", link.bandwidth.value())
      .set("shared_by", link.shared_by)
      .set("cpu_share", link.cpu_share);
  if (link.interfaces != 1) value.set("interfaces", link.interfaces);
  return value;
}

Value to_value(const DeviceSpec& device) {
  Value peak = Value::object();
  for (const auto& [dtype, flops] : device.peak) peak.set(to_text(dtype), flops.value());
  Value value = Value::object();
  value.set("name", device.name)
      .set("kind", to_text(device.kind))
      .set("memory_bytes", device.memory.value())
      .set("memory_bandwidth_bytes_per_s", device.memory_bandwidth.value())
      .set("peak_flops_per_s", std::move(peak));
  if (!device.generation.empty()) value.set("generation", device.generation);
  if (device.multiprocessors > 0) value.set("multiprocessors", device.multiprocessors);
  if (device.cache.value() > 0) value.set("cache_bytes", device.cache.value());
  if (device.tf32_peak) value.set("tf32_flops_per_s", device.tf32_peak->value());
  if (device.f8_peak) value.set("f8_flops_per_s", device.f8_peak->value());
  return value;
}

// Opens the member `key`, reads it with `read` and refuses what it did not ask for.
template <class Read>
auto read_member(ObjectReader& outer, std::string_view key, Read read) -> decltype(read(outer)) {
  PLUTO_ASSIGN(const Value* value, outer.object(key));
  PLUTO_ASSIGN(ObjectReader reader, ObjectReader::open(*value, outer.place(key)));
  auto result = read(reader);
  if (result.ok()) PLUTO_TRY(reader.finish());
  return result;
}

Result<LinkSpec> read_link(ObjectReader& reader) {
  LinkSpec link;
  PLUTO_ASSIGN(link.name, reader.string("name"));
  PLUTO_ASSIGN(link.alpha, read_seconds(reader, "alpha_s"));
  PLUTO_ASSIGN(const double bandwidth, reader.number("bandwidth_bytes_per_s"));
  link.bandwidth = BytesPerSecond(bandwidth);
  PLUTO_ASSIGN(link.shared_by, read_int(reader, "shared_by"));
  PLUTO_ASSIGN(link.cpu_share, reader.number("cpu_share"));
  PLUTO_ASSIGN(const auto interfaces, reader.optional_integer("interfaces"));
  if (interfaces) {
    if (*interfaces < 1 || *interfaces > 1024) {
      return reader.error("interfaces", "must be in 1..1024");
    }
    link.interfaces = static_cast<int>(*interfaces);
  }
  return link;
}

Result<DeviceSpec> read_device(ObjectReader& reader) {
  DeviceSpec device;
  PLUTO_ASSIGN(device.name, reader.string("name"));
  PLUTO_ASSIGN(const std::string kind, reader.string("kind"));
  PLUTO_ASSIGN_AT(reader.place("kind"), device.kind, parse_device_kind(kind));
  PLUTO_ASSIGN(device.memory, read_bytes(reader, "memory_bytes"));
  PLUTO_ASSIGN(const double bandwidth, reader.number("memory_bandwidth_bytes_per_s"));
  device.memory_bandwidth = BytesPerSecond(bandwidth);
  PLUTO_ASSIGN(const Value* peak, reader.object("peak_flops_per_s"));
  PLUTO_ASSIGN(ObjectReader peaks, ObjectReader::open(*peak, reader.place("peak_flops_per_s")));
  for (const auto& [name, member] : peak->as_object()) {
    PLUTO_ASSIGN_AT(peaks.place(name), const DType dtype, parse_dtype(name));
    PLUTO_ASSIGN(const double flops, peaks.number(name));
    device.peak[dtype] = FlopsPerSecond(flops);
  }
  PLUTO_ASSIGN(const auto generation, reader.optional_string("generation"));
  device.generation = generation.value_or("");
  if (reader.optional("multiprocessors") != nullptr) {
    PLUTO_ASSIGN(device.multiprocessors, read_int(reader, "multiprocessors"));
  }
  if (reader.optional("cache_bytes") != nullptr) {
    PLUTO_ASSIGN(device.cache, read_bytes(reader, "cache_bytes"));
  }
  PLUTO_ASSIGN(const auto tf32, reader.optional_number("tf32_flops_per_s"));
  if (tf32) device.tf32_peak = FlopsPerSecond(*tf32);
  PLUTO_ASSIGN(const auto f8, reader.optional_number("f8_flops_per_s"));
  if (f8) device.f8_peak = FlopsPerSecond(*f8);
  return device;
}

Result<NodeSpec> read_node(ObjectReader& reader) {
  NodeSpec node;
  PLUTO_ASSIGN(node.device, read_member(reader, "device", read_device));
  PLUTO_ASSIGN(node.devices, read_int(reader, "devices"));
  PLUTO_ASSIGN(node.intra, read_member(reader, "intra", read_link));
  PLUTO_ASSIGN(node.network, read_member(reader, "network", read_link));
  if (reader.optional("cores") != nullptr) {
    PLUTO_ASSIGN(node.cores, read_int(reader, "cores"));
  }
  return node;
}

Result<InstanceType> read_instance(ObjectReader& reader) {
  InstanceType instance;
  PLUTO_ASSIGN(instance.name, reader.string("name"));
  PLUTO_ASSIGN(instance.node, read_member(reader, "node", read_node));
  PLUTO_ASSIGN(const double price, reader.number("price_usd_per_hour"));
  instance.price = DollarsPerHour(price);
  PLUTO_ASSIGN(const std::optional<double> spot, reader.optional_number("spot_usd_per_hour"));
  if (spot) instance.spot_price = DollarsPerHour(*spot);
  PLUTO_ASSIGN(instance.price_date, reader.string("price_date"));
  PLUTO_ASSIGN(instance.source, reader.string("source"));
  if (reader.optional("rental") != nullptr) {
    PLUTO_ASSIGN(const Value* rental, reader.object("rental"));
    PLUTO_ASSIGN(instance.rental, rental_from_value(*rental, reader.place("rental")));
  }
  return instance;
}

}  // namespace

const char* to_text(DeviceKind kind) { return word_of(kDeviceKinds, kind); }

Result<DeviceKind> parse_device_kind(std::string_view text) {
  return parse_word(kDeviceKinds, "kind of device", text);
}

const char* to_text(Market market) { return word_of(kMarkets, market); }

Result<Market> parse_market(std::string_view text) { return parse_word(kMarkets, "market", text); }

DollarsPerHour ClusterSpec::price() const {
  const auto hourly = [this](const InstanceType& type) {
    return (market == Market::kSpot ? type.spot_price.value_or(type.price) : type.price).value();
  };
  double sum = hourly(instance) * nodes;
  for (const NodeGroup& group : more) sum += hourly(group.instance) * group.nodes;
  return DollarsPerHour(sum);
}

Value to_value(const InstanceType& instance) {
  Value node = Value::object();
  node.set("device", to_value(instance.node.device))
      .set("devices", instance.node.devices)
      .set("intra", to_value(instance.node.intra))
      .set("network", to_value(instance.node.network));
  if (instance.node.cores > 0) node.set("cores", instance.node.cores);
  Value value = Value::object();
  value.set("name", instance.name)
      .set("node", std::move(node))
      .set("price_usd_per_hour", instance.price.value());
  if (instance.spot_price) value.set("spot_usd_per_hour", instance.spot_price->value());
  value.set("price_date", instance.price_date).set("source", instance.source);
  if (instance.rental) value.set("rental", to_value(*instance.rental));
  return value;
}

Value to_value(const ClusterSpec& cluster) {
  Value value = Value::object();
  value.set("instance", to_value(cluster.instance)).set("nodes", cluster.nodes);
  if (cluster.market != Market::kOnDemand) value.set("market", to_text(cluster.market));
  if (cluster.more.empty()) return value;
  Value more = Value::array();
  for (const NodeGroup& group : cluster.more) {
    Value one = Value::object();
    one.set("instance", to_value(group.instance)).set("nodes", group.nodes);
    more.push_back(std::move(one));
  }
  value.set("more", std::move(more));
  return value;
}

std::vector<ClusterSpec> views_by_group(const ClusterSpec& cluster) {
  if (cluster.more.empty()) return {cluster};
  std::vector<NodeGroup> groups = {{cluster.instance, cluster.nodes}};
  groups.insert(groups.end(), cluster.more.begin(), cluster.more.end());
  LinkSpec intra = groups.front().instance.node.intra;
  LinkSpec network = groups.front().instance.node.network;
  const auto keep_slowest = [](LinkSpec& slowest, const LinkSpec& other) {
    if (other.bandwidth.value() < slowest.bandwidth.value()) slowest = other;
    slowest.alpha = std::max(slowest.alpha, other.alpha);
  };
  for (const NodeGroup& group : groups) {
    keep_slowest(intra, group.instance.node.intra);
    keep_slowest(network, group.instance.node.network);
  }
  std::vector<ClusterSpec> views;
  for (const NodeGroup& group : groups) {
    ClusterSpec view{group.instance, 1};
    const int devices = std::max(1, group.instance.node.devices);
    view.nodes = (cluster.devices() + devices - 1) / devices;
    view.instance.node.intra = intra;
    view.instance.node.network = network;
    views.push_back(std::move(view));
  }
  return views;
}

Result<InstanceType> instance_from_value(const Value& value, const std::string& where) {
  PLUTO_ASSIGN(ObjectReader reader, ObjectReader::open(value, where));
  PLUTO_ASSIGN(InstanceType instance, read_instance(reader));
  PLUTO_TRY(reader.finish());
  return instance;
}

Result<ClusterSpec> cluster_from_value(const Value& value, const std::string& where) {
  PLUTO_ASSIGN(ObjectReader reader, ObjectReader::open(value, where));
  ClusterSpec cluster;
  PLUTO_ASSIGN(cluster.instance, read_member(reader, "instance", read_instance));
  PLUTO_ASSIGN(cluster.nodes, read_int(reader, "nodes"));
  PLUTO_ASSIGN(const auto market, reader.optional_string("market"));
  if (market) {
    PLUTO_ASSIGN_AT(reader.place("market"), cluster.market, parse_market(*market));
  }
  if (reader.optional("more") != nullptr) {
    PLUTO_ASSIGN(const Value::Array* more, reader.array("more"));
    for (std::size_t i = 0; i < more->size(); ++i) {
      PLUTO_ASSIGN(ObjectReader one,
                   ObjectReader::open((*more)[i], fmt::format("{}[{}]", reader.place("more"), i)));
      NodeGroup group;
      PLUTO_ASSIGN(group.instance, read_member(one, "instance", read_instance));
      PLUTO_ASSIGN(group.nodes, read_int(one, "nodes"));
      PLUTO_TRY(one.finish());
      cluster.more.push_back(std::move(group));
    }
  }
  PLUTO_TRY(reader.finish());
  return cluster;
}

}  // namespace pluto
