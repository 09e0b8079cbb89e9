#include "costmodel/transformer_costs.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/document.h"

namespace pluto {

namespace {

constexpr std::array<const char*, kTransformerConstants> kNames = {
    "gemm_fraction",    "gemm_ramp_elements", "gemm_ramp_depth",  "attention_fraction",
    "element_fraction", "host_s_per_op",      "kernel_floor_s",   "collective_floor_s",
    "send_floor_s",     "intra_fraction",     "network_fraction", "update_bytes",
    "step_fixed_s",     "overlap_slowdown",   "tensor_exposed",   "fp8_gain",
    "flash2_gain"};

Result<double> positive(ObjectReader& reader, std::string_view key) {
  PLUTO_ASSIGN(const double number, reader.number(key));
  if (!(number > 0)) return reader.error(key, "must be positive");
  return number;
}

}  // namespace

const char* to_text(TransformerConstant constant) {
  return kNames[static_cast<std::size_t>(constant)];
}

Result<TransformerCostTable> TransformerCostTable::load(const std::string& path) {
  PLUTO_ASSIGN(const Value document, read_document(path));
  PLUTO_ASSIGN(auto reader, ObjectReader::open(document, path));
  PLUTO_ASSIGN(const auto schema, reader.integer("schema"));
  if (schema != 1) return reader.error("schema", fmt::format("{} is not supported", schema));
  PLUTO_TRY(reader.string("about"));
  TransformerCostTable table;
  PLUTO_ASSIGN(table.common_.step_spread, positive(reader, "step_spread"));
  PLUTO_ASSIGN(table.common_.layer_spread, positive(reader, "layer_spread"));
  PLUTO_ASSIGN(table.common_.host_spread, positive(reader, "host_spread"));
  PLUTO_ASSIGN(table.common_.degree_share, positive(reader, "degree_share"));
  if (table.common_.degree_share > 1) return reader.error("degree_share", "is at most 1");
  PLUTO_ASSIGN(const Value::Array* fitted, reader.array("fitted_on"));
  for (const Value& name : *fitted) {
    if (!name.is_string()) return reader.error("fitted_on", "holds parts of names of devices");
    table.fitted_on_.push_back(name.as_string());
  }
  PLUTO_ASSIGN(const Value* constants, reader.object("constants"));
  PLUTO_ASSIGN(auto common, ObjectReader::open(*constants, reader.place("constants")));
  auto believed = table.common_.value;
  for (std::size_t i = 0; i < kTransformerConstants; ++i) {
    PLUTO_ASSIGN(const Value* value, common.object(kNames[i]));
    PLUTO_ASSIGN(auto one, ObjectReader::open(*value, common.place(kNames[i])));
    PLUTO_ASSIGN(table.common_.value[i], positive(one, "value"));
    PLUTO_ASSIGN(believed[i], positive(one, "believed"));
    PLUTO_ASSIGN(table.common_.spread[i], positive(one, "spread"));
    PLUTO_TRY(one.string("source"));
    PLUTO_TRY(one.finish());
  }
  PLUTO_TRY(common.finish());
  table.believed_ = table.common_;
  table.believed_.value = believed;
  PLUTO_ASSIGN(const Value* devices, reader.object("devices"));
  PLUTO_ASSIGN(auto device_reader, ObjectReader::open(*devices, reader.place("devices")));
  for (const auto& [match, unused] : devices->as_object()) {
    PLUTO_ASSIGN(const Value* value, device_reader.object(match));
    PLUTO_ASSIGN(auto one, ObjectReader::open(*value, device_reader.place(match)));
    PLUTO_TRY(read_overrides(one, match, table.overrides_));
    if (const Value* beliefs = one.optional("believed")) {
      PLUTO_ASSIGN(auto believed, ObjectReader::open(*beliefs, one.place("believed")));
      PLUTO_TRY(read_overrides(believed, match, table.beliefs_));
      PLUTO_TRY(believed.finish());
    }
    PLUTO_TRY(one.finish());
  }
  PLUTO_TRY(reader.finish());
  return table;
}

Result<void> TransformerCostTable::read_overrides(ObjectReader& reader, const std::string& match,
                                                  std::vector<Override>& overrides) {
  PLUTO_TRY(reader.string("source"));
  for (std::size_t i = 0; i < kTransformerConstants; ++i) {
    PLUTO_ASSIGN(const auto number, reader.optional_number(kNames[i]));
    if (!number) continue;
    if (!(*number > 0)) return reader.error(kNames[i], "must be positive");
    overrides.push_back({match, static_cast<TransformerConstant>(i), *number});
  }
  return {};
}

TransformerCosts TransformerCostTable::overridden(TransformerCosts costs, const DeviceSpec& device,
                                                  const std::vector<Override>& overrides) {
  std::string matched;
  for (const Override& one : overrides) {
    if (device.name.find(one.match) == std::string::npos) continue;
    if (matched.empty()) matched = one.match;
    if (one.match != matched) break;
    costs.value[static_cast<std::size_t>(one.constant)] = one.value;
  }
  return costs;
}

TransformerCosts TransformerCostTable::costs_for(const DeviceSpec& device) const {
  return overridden(common_, device, overrides_);
}

TransformerCosts TransformerCostTable::with_beliefs(const TransformerCosts& costs,
                                                    const DeviceSpec& device) const {
  return overridden(costs, device, beliefs_);
}

bool TransformerCostTable::fitted_on(const DeviceSpec& device) const {
  return std::ranges::any_of(fitted_on_, [&](const std::string& name) {
    return device.name.find(name) != std::string::npos;
  });
}

}  // namespace pluto
