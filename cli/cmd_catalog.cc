// catalog: devices and dated prices that plans are made from.

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "plan/catalog.h"

namespace pluto {

namespace {

struct CatalogOptions {
  std::string filter, prices, provider = "user";
  bool devices = false;
};

bool wanted(const std::string& name, const std::string& filter) {
  return filter.empty() || name.find(filter) != std::string::npos;
}

std::string peak_text(const DeviceSpec& device, DType dtype) {
  const auto peak = device.peak.find(dtype);
  return peak == device.peak.end() ? "-" : to_text(peak->second);
}

Result<int> list(Session& session, const CatalogOptions& options) {
  PLUTO_ASSIGN(Catalog catalog, Catalog::load(session.data_folder + "/catalog"));
  if (!options.prices.empty()) PLUTO_TRY(catalog.add_prices(options.prices, options.provider));
  Terminal& terminal = *session.terminal;
  Value document = Value::object();
  document.set("schema", "pluto.catalog/1");
  Value rows_value = Value::array();
  std::vector<std::vector<std::string>> rows;
  if (options.devices) {
    rows.push_back({"device", "memory", "bandwidth", "f32", "f16", "bf16"});
    for (const DeviceSpec& device : catalog.devices()) {
      if (!wanted(device.name, options.filter)) continue;
      rows.push_back({device.name, to_text(device.memory), to_text(device.memory_bandwidth),
                      peak_text(device, DType::kF32), peak_text(device, DType::kF16),
                      peak_text(device, DType::kBF16)});
      Value one = Value::object();
      one.set("device", device.name)
          .set("memory_bytes", device.memory.value())
          .set("bandwidth_bytes_per_s", device.memory_bandwidth.value());
      rows_value.push_back(std::move(one));
    }
  } else {
    rows.push_back({"instance", "devices", "device", "$/h", "spot $/h", "date"});
    for (const InstanceType& instance : catalog.instances()) {
      if (!wanted(instance.name, options.filter)) continue;
      rows.push_back(
          {instance.name, std::to_string(instance.node.devices), instance.node.device.name,
           fmt::format("{:.2f}", instance.price.value()),
           instance.spot_price ? fmt::format("{:.2f}", instance.spot_price->value()) : "-",
           instance.price_date});
      Value one = Value::object();
      one.set("instance", instance.name)
          .set("devices", instance.node.devices)
          .set("device", instance.node.device.name);
      one.set("price_usd_per_h", instance.price.value());
      one.set("spot_usd_per_h",
              instance.spot_price ? Value(instance.spot_price->value()) : Value());
      one.set("price_date", instance.price_date).set("source", instance.source);
      rows_value.push_back(std::move(one));
    }
  }
  if (rows.size() == 1)
    return not_found(fmt::format("nothing in the catalog contains '{}'", options.filter),
                     "pluto-plan catalog lists everything");
  terminal.say(format_table(rows));
  for (const std::string& warning : catalog.warnings()) terminal.note("left out: " + warning);
  document.set(options.devices ? "devices" : "instances", std::move(rows_value));
  terminal.result(document);
  return 0;
}

}  // namespace

void add_catalog(CLI::App& app, Session& session) {
  auto options = std::make_shared<CatalogOptions>();
  CLI::App* verb = app.add_subcommand("catalog", "Instance types with dated prices, and devices");
  verb->footer(
      "Examples:\n  pluto-plan catalog\n  pluto-plan catalog p4d\n  pluto-plan catalog --devices "
      "H100\n  pluto-plan catalog --prices lambda.csv --provider lambda");
  verb->add_option("filter", options->filter, "Only names that contain this");
  verb->add_flag("--devices", options->devices, "Devices instead of instance types");
  verb->add_option("--prices", options->prices, "Also read this CSV with SkyPilot's columns");
  verb->add_option("--provider", options->provider, "Prefix of the names read from --prices");
  verb->callback([&session, options] {
    session.action = [&session, options] { return list(session, *options); };
  });
}

}  // namespace pluto
