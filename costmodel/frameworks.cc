#include "costmodel/frameworks.h"

#include <fmt/format.h>

#include "base/document.h"

namespace pluto {

namespace {

constexpr double kMicro = 1e-6;
constexpr double kMebibyte = 1024.0 * 1024;

Result<double> not_negative(ObjectReader& reader, std::string_view key, double fallback) {
  PLUTO_ASSIGN(const auto number, reader.optional_number(key));
  if (number && !(*number >= 0)) return reader.error(key, "must not be negative");
  return number.value_or(fallback);
}

Result<FrameworkCosts> read_framework(const Value& value, const std::string& place) {
  PLUTO_ASSIGN(auto reader, ObjectReader::open(value, place));
  FrameworkCosts costs;
  const auto time = [&](std::string_view key, Seconds& into) -> Result<void> {
    PLUTO_ASSIGN(const double microseconds, not_negative(reader, key, 0));
    into = Seconds(microseconds * kMicro);
    return {};
  };
  PLUTO_TRY(time("forward_us", costs.forward));
  PLUTO_TRY(time("backward_us", costs.backward));
  PLUTO_TRY(time("update_us", costs.update));
  PLUTO_TRY(time("serial_us", costs.serial));
  PLUTO_TRY(time("half_serial_us", costs.half_serial));
  PLUTO_TRY(time("sample_us", costs.sample));
  PLUTO_TRY(time("jitter_us", costs.jitter));
  for (const auto& [key, into] :
       {std::pair("kernels", &costs.kernels), std::pair("half_kernels", &costs.half_kernels),
        std::pair("update_passes", &costs.update_passes), std::pair("slack", &costs.slack)}) {
    PLUTO_ASSIGN(*into, not_negative(reader, key, 1));
    if (!(*into > 0)) return reader.error(key, "must be positive");
  }
  PLUTO_ASSIGN(const double context, not_negative(reader, "context_MiB", 0));
  costs.context = Bytes(static_cast<std::int64_t>(context * kMebibyte));
  PLUTO_ASSIGN(costs.half_activations,
               not_negative(reader, "half_activations", costs.half_activations));
  PLUTO_ASSIGN(costs.spread, not_negative(reader, "spread", 0));
  for (const auto& [key, into] :
       {std::pair("fuse", &costs.fuse), std::pair("channels_last", &costs.channels_last),
        std::pair("transposes", &costs.transposes),
        std::pair("eager_attention", &costs.eager_attention)}) {
    PLUTO_ASSIGN(const auto flag, reader.optional_boolean(key));
    *into = flag.value_or(*into);
  }
  PLUTO_TRY(reader.string("source"));
  PLUTO_TRY(reader.finish());
  return costs;
}

}  // namespace

Result<FrameworkTable> load_frameworks(const std::string& path) {
  PLUTO_ASSIGN(const Value document, read_document(path));
  PLUTO_ASSIGN(auto reader, ObjectReader::open(document, path));
  PLUTO_ASSIGN(const auto schema, reader.integer("schema"));
  if (schema != 1) return reader.error("schema", fmt::format("{} is not supported", schema));
  PLUTO_TRY(reader.string("about"));
  PLUTO_ASSIGN(const Value* all, reader.object("frameworks"));
  PLUTO_ASSIGN(const Value* generations, reader.object("generations"));
  PLUTO_ASSIGN(const Value* sums, reader.object("host_sums"));
  PLUTO_TRY(reader.finish());
  FrameworkTable table;
  PLUTO_ASSIGN(auto host, ObjectReader::open(*sums, path + ": host_sums"));
  PLUTO_ASSIGN(const double giga, host.number("GBps"));
  if (!(giga > 0)) return host.error("GBps", "must be positive");
  table.host_bandwidth = BytesPerSecond(giga * 1e9);
  PLUTO_TRY(host.string("source"));
  PLUTO_TRY(host.finish());
  for (const auto& [name, value] : all->as_object()) {
    PLUTO_ASSIGN(table.frameworks[name],
                 read_framework(value, fmt::format("{}: frameworks.{}", path, name)));
  }
  for (const auto& [name, value] : generations->as_object()) {
    PLUTO_ASSIGN(auto one,
                 ObjectReader::open(value, fmt::format("{}: generations.{}", path, name)));
    GenerationCosts& costs = table.generations[name];
    for (const auto& [key, into] :
         {std::pair("kernels", &costs.kernels), std::pair("products", &costs.products)}) {
      PLUTO_ASSIGN(*into, not_negative(one, key, 1));
      if (!(*into > 0)) return one.error(key, "must be positive");
    }
    PLUTO_TRY(one.string("source"));
    PLUTO_TRY(one.finish());
  }
  return table;
}

}  // namespace pluto
