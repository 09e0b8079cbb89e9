#include "costmodel/founding_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/document.h"

namespace pluto {

namespace {

Result<double> positive(ObjectReader& reader, std::string_view key) {
  PLUTO_ASSIGN(const double number, reader.number(key));
  if (!(number > 0)) return reader.error(key, "must be positive");
  return number;
}

Result<std::int64_t> count(ObjectReader& reader, std::string_view key) {
  PLUTO_ASSIGN(const std::int64_t number, reader.integer(key));
  if (number < 1) return reader.error(key, "must be positive");
  return number;
}

Result<ByName> by_name(ObjectReader& reader, std::string_view key) {
  PLUTO_ASSIGN(const Value* object, reader.object(key));
  ByName values;
  for (const auto& [name, value] : object->as_object()) {
    if (!value.is_number() || !(value.as_number() > 0)) {
      return reader.error(key, fmt::format("'{}' must be a positive number", name));
    }
    values.emplace_back(name, value.as_number());
  }
  if (values.empty()) return reader.error(key, "must not be empty");
  return values;
}

Result<ByGpus> by_gpus(ObjectReader& reader, std::string_view key) {
  PLUTO_ASSIGN(const ByName named, by_name(reader, key));
  ByGpus values;
  for (const auto& [name, value] : named) {
    int gpus = 0;
    const auto end = std::from_chars(name.data(), name.data() + name.size(), gpus).ptr;
    if (end != name.data() + name.size() || gpus < 2) {
      return reader.error(key, fmt::format("'{}' is no number of GPUs", name));
    }
    values.emplace_back(gpus, value);
  }
  return values;
}

/// Opens the member `key`, reads it, refuses what was not asked for.
template <class Read>
Result<void> section(ObjectReader& parent, std::string_view key, Read read) {
  PLUTO_ASSIGN(const Value* value, parent.object(key));
  PLUTO_ASSIGN(auto reader, ObjectReader::open(*value, parent.place(key)));
  PLUTO_TRY(read(reader));
  return reader.finish();
}

/// The same for each object of a list.
template <class Read>
Result<void> sections(ObjectReader& parent, std::string_view key, Read read) {
  PLUTO_ASSIGN(const Value::Array* list, parent.array(key));
  for (std::size_t i = 0; i < list->size(); ++i) {
    PLUTO_ASSIGN(auto reader,
                 ObjectReader::open((*list)[i], fmt::format("{}[{}]", parent.place(key), i)));
    PLUTO_TRY(read(reader));
    PLUTO_TRY(reader.finish());
  }
  return {};
}

Result<void> read_bus(ObjectReader& reader, LinkSpec& link) {
  PLUTO_ASSIGN(link.name, reader.string("name"));
  PLUTO_ASSIGN(const double alpha, positive(reader, "alpha_us"));
  PLUTO_ASSIGN(const double giga, positive(reader, "GBps"));
  PLUTO_ASSIGN(const auto shared, count(reader, "shared_by"));
  link.alpha = Seconds(alpha * 1e-6);
  link.bandwidth = BytesPerSecond(giga * 1e9);
  link.shared_by = static_cast<int>(shared);
  return {};
}

Result<void> read_alexnet(ObjectReader& reader, FoundingData& data) {
  auto& alexnet = data.alexnet;
  PLUTO_ASSIGN(alexnet.batch, count(reader, "batch"));
  PLUTO_ASSIGN(const Value::Array* sharded, reader.array("sharded"));
  for (const Value& name : *sharded) {
    if (!name.is_string()) return reader.error("sharded", "are names of layers");
    alexnet.sharded.push_back(name.as_string());
  }
  PLUTO_ASSIGN(alexnet.data, by_gpus(reader, "data_MiB"));
  PLUTO_ASSIGN(alexnet.hybrid, by_gpus(reader, "hybrid_MiB"));
  PLUTO_ASSIGN(alexnet.assumed, reader.string("assumed"));
  PLUTO_TRY(reader.string("source"));
  return {};
}

Result<void> read_machine(ObjectReader& reader, FoundingData& data) {
  HostMachine machine;
  PLUTO_ASSIGN(machine.name, reader.string("name"));
  PLUTO_ASSIGN(const double seconds, positive(reader, "one_gpu_s"));
  machine.one_gpu = Seconds(seconds);
  if (const Value* peaks = reader.optional("peaks_TFLOPS")) {
    if (!peaks->is_array() || peaks->as_array().size() != 2 || !peaks->as_array()[0].is_number() ||
        !peaks->as_array()[1].is_number()) {
      return reader.error("peaks_TFLOPS", "is [of the machine timed, of this one]");
    }
    machine.one_gpu =
        Seconds(seconds * peaks->as_array()[0].as_number() / peaks->as_array()[1].as_number());
  }
  PLUTO_ASSIGN(machine.data, by_gpus(reader, "data"));
  PLUTO_ASSIGN(machine.hybrid, by_gpus(reader, "hybrid"));
  PLUTO_TRY(reader.string("source"));
  data.machines.push_back(std::move(machine));
  return {};
}

Result<void> read_late(ObjectReader& reader, FoundingData& data) {
  auto& late = data.late;
  PLUTO_ASSIGN(late.per_gpu, count(reader, "per_gpu"));
  PLUTO_ASSIGN(const double alpha, positive(reader, "alpha_us"));
  late.alpha = Seconds(alpha * 1e-6);
  PLUTO_ASSIGN(const double peak, positive(reader, "rebuild_peak_TFLOPS"));
  PLUTO_ASSIGN(const double divisor, positive(reader, "rebuild_divisor"));
  late.rebuild = FlopsPerSecond(peak * 1e12 / divisor);
  PLUTO_TRY(sections(reader, "networks", [&](ObjectReader& one) -> Result<void> {
    FoundingData::Network network;
    PLUTO_ASSIGN(network.name, one.string("name"));
    PLUTO_ASSIGN(network.reduced, by_gpus(one, "reduced_ms"));
    PLUTO_ASSIGN(network.multiplied, by_gpus(one, "multiplied_ms"));
    late.networks.push_back(std::move(network));
    return {};
  }));
  PLUTO_ASSIGN(late.assumed, reader.string("assumed"));
  PLUTO_TRY(reader.string("source"));
  return {};
}

Result<void> read_convnets(ObjectReader& reader, FoundingData& data) {
  auto& convnets = data.convnets;
  PLUTO_ASSIGN(convnets.device, reader.string("device"));
  PLUTO_ASSIGN(const auto nodes, count(reader, "nodes"));
  PLUTO_ASSIGN(const auto devices, count(reader, "devices"));
  convnets.nodes = static_cast<int>(nodes);
  convnets.devices = static_cast<int>(devices);
  PLUTO_ASSIGN(convnets.per_gpu, count(reader, "per_gpu"));
  PLUTO_ASSIGN(const auto bucket, count(reader, "bucket_MB"));
  convnets.bucket = Bytes(bucket * 1'000'000);
  PLUTO_TRY(section(reader, "bus", [&](ObjectReader& one) { return read_bus(one, convnets.bus); }));
  PLUTO_TRY(section(reader, "network", [&](ObjectReader& one) -> Result<void> {
    PLUTO_ASSIGN(convnets.network.name, one.string("name"));
    PLUTO_ASSIGN(const double alpha, positive(one, "alpha_us"));
    PLUTO_ASSIGN(const double bits, positive(one, "Gbps"));
    convnets.network.alpha = Seconds(alpha * 1e-6);
    convnets.network.bandwidth = BytesPerSecond(bits * 1e9 / 8);
    return {};
  }));
  PLUTO_ASSIGN(convnets.gains, by_name(reader, "gain_percent"));
  PLUTO_ASSIGN(convnets.assumed, reader.string("assumed"));
  PLUTO_TRY(reader.string("source"));
  return {};
}

Result<void> read_recommender(ObjectReader& reader, FoundingData& data) {
  auto& recommender = data.recommender;
  PLUTO_ASSIGN(recommender.model, reader.string("model"));
  PLUTO_ASSIGN(recommender.rows, count(reader, "rows"));
  PLUTO_ASSIGN(const auto nodes, count(reader, "nodes"));
  recommender.nodes = static_cast<int>(nodes);
  PLUTO_ASSIGN(recommender.per_gpu, count(reader, "per_gpu"));
  PLUTO_ASSIGN(recommender.reading, positive(reader, "reading"));
  PLUTO_ASSIGN(recommender.ring, positive(reader, "ring"));
  PLUTO_ASSIGN(recommender.half, positive(reader, "half"));
  PLUTO_ASSIGN(recommender.assumed, reader.string("assumed"));
  PLUTO_TRY(reader.string("source"));
  return {};
}

}  // namespace

Result<HostMachine> FoundingData::machine(const std::string& name) const {
  const auto found = std::ranges::find(machines, name, &HostMachine::name);
  if (found == machines.end()) return not_found(name + ": no such machine in founding.json");
  return *found;
}

Result<FoundingData> load_founding(const std::string& path) {
  PLUTO_ASSIGN(const Value document, read_document(path));
  PLUTO_ASSIGN(auto reader, ObjectReader::open(document, path));
  PLUTO_ASSIGN(const auto schema, reader.integer("schema"));
  if (schema != 1) return reader.error("schema", fmt::format("{} is not supported", schema));
  PLUTO_TRY(reader.string("about"));
  FoundingData data;
  const auto into = [&data](auto read) {
    return [&data, read](ObjectReader& one) { return read(one, data); };
  };
  PLUTO_TRY(section(reader, "alexnet", into(read_alexnet)));
  PLUTO_TRY(sections(reader, "machines", into(read_machine)));
  PLUTO_TRY(section(reader, "machine_bus", [&](ObjectReader& one) -> Result<void> {
    PLUTO_TRY(read_bus(one, data.bus));
    PLUTO_ASSIGN(data.machines_assumed, one.string("assumed"));
    return {};
  }));
  PLUTO_TRY(section(reader, "late_multiplication", into(read_late)));
  PLUTO_TRY(section(reader, "convnets", into(read_convnets)));
  PLUTO_TRY(section(reader, "recommender", into(read_recommender)));
  PLUTO_TRY(reader.finish());
  return data;
}

}  // namespace pluto
