#include "costmodel/interference.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/document.h"

namespace pluto {

namespace {

constexpr std::array<const char*, kBesideStreamCount> kStreams = {"collective", "to_host",
                                                                  "to_device"};

Result<double> factor(const Value& value, const ObjectReader& reader, std::string_view key) {
  if (!value.is_number() || !(value.as_number() >= 1)) {
    return reader.error(key, "factors on time are numbers of at least 1");
  }
  return value.as_number();
}

Result<DeviceInterference> read_device(const Value& value, const std::string& place) {
  PLUTO_ASSIGN(auto reader, ObjectReader::open(value, place));
  DeviceInterference device;
  for (std::size_t i = 0; i < kBesideStreamCount; ++i) {
    PLUTO_ASSIGN(const Value::Array* pair, reader.array(kStreams[i]));
    if (pair->size() != 2) return reader.error(kStreams[i], "is [computing, copying]");
    PLUTO_ASSIGN(device.beside[i].compute, factor(pair->front(), reader, kStreams[i]));
    PLUTO_ASSIGN(device.beside[i].other, factor(pair->back(), reader, kStreams[i]));
  }
  PLUTO_ASSIGN(device.measured, reader.boolean("measured"));
  PLUTO_ASSIGN(device.spread, reader.number("spread"));
  if (!(device.spread >= 0)) return reader.error("spread", "must not be negative");
  PLUTO_TRY(reader.string("source"));
  PLUTO_TRY(reader.finish());
  return device;
}

}  // namespace

const DeviceInterference& InterferenceTable::of(const DeviceSpec& device) const {
  const auto found = generations.find(device.generation);
  return found == generations.end() ? other : found->second;
}

void InterferenceTable::apply(BesideStream stream, const NodeSpec& node, int nodes,
                              CollectiveCost& cost) const {
  const DeviceInterference& known = of(node.device);
  const PairSlowdown& pair = known.beside[static_cast<std::size_t>(stream)];
  cost.cpu_share = 1 - 1 / pair.compute;
  cost.beside_compute = 1 / pair.other;
  cost.sharing_spread = known.spread;
  cost.sharing_evidence = known.measured && nodes <= 1 ? Evidence::kCalibrated : Evidence::kAssumed;
  if (nodes > 1 && node.device.multiprocessors > 0) {
    cost.cpu_share =
        std::min(cost.cpu_share, channels * node.network.interfaces / node.device.multiprocessors);
  }
}

Result<InterferenceTable> load_interference(const std::string& path) {
  PLUTO_ASSIGN(const Value document, read_document(path));
  PLUTO_ASSIGN(auto reader, ObjectReader::open(document, path));
  PLUTO_ASSIGN(const auto schema, reader.integer("schema"));
  if (schema != 1) return reader.error("schema", fmt::format("{} is not supported", schema));
  PLUTO_TRY(reader.string("about"));
  PLUTO_ASSIGN(const Value* directions, reader.object("network_directions"));
  PLUTO_ASSIGN(const Value* channels, reader.object("network_channels"));
  PLUTO_ASSIGN(const Value* generations, reader.object("generations"));
  PLUTO_ASSIGN(const Value* other, reader.object("other"));
  PLUTO_TRY(reader.finish());
  InterferenceTable table;
  PLUTO_ASSIGN(auto both, ObjectReader::open(*directions, path + ": network_directions"));
  PLUTO_ASSIGN(table.directions, both.number("factor"));
  if (!(table.directions >= 1)) return both.error("factor", "factors on time are at least 1");
  PLUTO_TRY(both.string("source"));
  PLUTO_TRY(both.finish());
  PLUTO_ASSIGN(auto kept, ObjectReader::open(*channels, path + ": network_channels"));
  PLUTO_ASSIGN(table.channels, kept.number("per_interface"));
  if (!(table.channels > 0)) return kept.error("per_interface", "must be positive");
  PLUTO_TRY(kept.string("source"));
  PLUTO_TRY(kept.finish());
  for (const auto& [name, value] : generations->as_object()) {
    PLUTO_ASSIGN(table.generations[name],
                 read_device(value, fmt::format("{}: generations.{}", path, name)));
  }
  PLUTO_ASSIGN(table.other, read_device(*other, path + ": other"));
  return table;
}

}  // namespace pluto
