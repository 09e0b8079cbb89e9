#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/text.h"
#include "plan/catalog.h"
#include "plan/catalog_table.h"

namespace pluto {
namespace {

// GpuInfo is a Python literal: {'Gpus': [{... 'MemoryInfo': {'SizeInMiB': 81920}}],
// 'TotalGpuMemoryInMiB': 81920}. The size of one GPU is the only fact taken; the total is per
// machine with one provider and per GPU with another.
std::optional<double> memory_mib(const std::string& info) {
  constexpr std::string_view kKey = "SizeInMiB";
  const std::size_t key = info.find(kKey);
  if (key == std::string::npos) return std::nullopt;
  const std::size_t begin = info.find_first_of("0123456789", key + kKey.size());
  if (begin == std::string::npos) return std::nullopt;
  return parse_number(
      std::string_view(info).substr(begin, info.find_first_not_of("0123456789.", begin) - begin));
}

}  // namespace

Result<void> Catalog::add_prices(const std::string& csv_path, const std::string& provider) {
  PLUTO_ASSIGN(
      const CatalogTable table,
      CatalogTable::read(csv_path, {"InstanceType", "AcceleratorName", "AcceleratorCount", "vCPUs",
                                    "MemoryGiB", "Price", "Region", "SpotPrice"}));
  std::map<std::string, InstanceType> cheapest;
  std::map<std::string, int> left_out;           // by reason
  std::map<std::string, std::string> conflicts;  // one per accelerator and size
  for (std::size_t row = 0; row < table.rows(); ++row) {
    const std::string type = table.text(row, "InstanceType");
    PLUTO_ASSIGN(const std::optional<double> count, table.amount(row, "AcceleratorCount"));
    PLUTO_ASSIGN(const std::optional<double> price, table.amount(row, "Price"));
    PLUTO_ASSIGN(const std::optional<double> spot, table.amount(row, "SpotPrice"));
    Offer offer;
    offer.name = provider + ":" + type;
    offer.accelerator = table.text(row, "AcceleratorName");
    if (offer.accelerator.empty()) {
      ++left_out["no accelerator in the row"];
      continue;
    }
    if (type.empty()) {
      ++left_out["an accelerator sold apart from its host"];
      continue;
    }
    if (!count || *count < 1 || *count != std::trunc(*count)) {
      ++left_out["a part of an accelerator"];
      continue;
    }
    if (!price || *price == 0) {
      ++left_out["no price on demand"];
      continue;
    }
    offer.count = static_cast<int>(*count);
    offer.price = DollarsPerHour(*price);
    if (spot) offer.spot_price = DollarsPerHour(*spot);
    offer.date = "not stated";
    offer.source = fmt::format("{}, {}", csv_path, table.text(row, "Region"));
    PLUTO_ASSIGN(const std::optional<double> cores, table.amount(row, "vCPUs"));
    offer.cores = static_cast<int>(cores.value_or(0));
    std::optional<InstanceType> instance = join(offer);
    if (!instance) {
      ++left_out[fmt::format("accelerator \"{}\" is unknown", offer.accelerator)];
      continue;
    }
    const double own = static_cast<double>(instance->node.device.memory.value());
    if (const auto mib = memory_mib(table.text(row, "GpuInfo"))) {
      // A tenth: what lies between a vendor's gigabytes and the gibibytes a card reports.
      const double theirs = *mib * 1048576.0;
      if (std::abs(theirs - own) > 0.1 * own) {
        conflicts.emplace(
            fmt::format("{} {}", offer.accelerator, *mib),
            fmt::format("{}: {} of {:.3g} GB, but the catalog's {} has {:.3g} GB", table.place(row),
                        offer.accelerator, theirs / 1e9, instance->node.device.name, own / 1e9));
      }
    }
    const auto [kept, is_new] = cheapest.emplace(offer.name, *instance);
    if (!is_new && instance->price < kept->second.price) kept->second = *instance;
  }
  for (auto& [name, instance] : cheapest) add_or_replace(std::move(instance));
  for (const auto& [reason, count] : left_out) {
    warnings_.push_back(fmt::format("{}: {} rows left out: {}", csv_path, count, reason));
  }
  for (const auto& [key, message] : conflicts) warnings_.push_back(message);
  return {};
}

}  // namespace pluto
