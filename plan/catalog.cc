#include "plan/catalog.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "base/text.h"
#include "plan/catalog_table.h"

namespace pluto {
namespace {

// Vendors' gigabytes. GPUs report up to 7 % more than this many bytes ("80 GB" is 79.6 GiB on an
// H100, "16 GB" 14.8 GiB on a T4), so a plan that fits this fits the card.
constexpr double kMega = 1e6;
constexpr double kGiga = 1e9;
constexpr double kTera = 1e12;

template <class T>
Error no_such(std::string_view what, const std::string& name, const std::vector<T>& known) {
  std::vector<std::string> names;
  for (const T& entry : known) names.push_back(entry.name);
  const auto near = nearest_word(name, names);
  return not_found(fmt::format("the catalog has no {} \"{}\"", what, name),
                   near ? fmt::format("did you mean \"{}\"?", *near)
                        : "list what there is with: pluto-plan catalog");
}

// The year a date begins with; prices without one are older than any.
int year_of(const std::string& date) {
  return static_cast<int>(parse_integer(date.substr(0, 4)).value_or(0));
}

}  // namespace

Result<Catalog> Catalog::load(const std::string& folder) {
  if (!std::filesystem::is_directory(folder)) {
    return not_found(fmt::format("{}: no such catalog folder", folder),
                     "point to the folder that holds gpu_specs.csv and cloud_prices.csv");
  }
  Catalog catalog;
  std::map<std::string, LinkSpec> intra;
  PLUTO_TRY(catalog.read_links(folder + "/links.csv", intra));
  PLUTO_TRY(catalog.read_devices(folder + "/gpu_specs.csv", intra));
  PLUTO_TRY(catalog.read_accelerators(folder + "/accelerators.csv"));
  PLUTO_ASSIGN(catalog.rentals_, RentalTable::load(folder + "/run_overheads.json"));
  PLUTO_TRY(catalog.read_prices(folder + "/cloud_prices.csv"));
  return catalog;
}

Result<void> Catalog::read_links(const std::string& path, std::map<std::string, LinkSpec>& intra) {
  PLUTO_ASSIGN(const CatalogTable table, CatalogTable::read(path, {"link", "instances", "alpha_us",
                                                                   "bandwidth_GBps", "source"}));
  for (std::size_t row = 0; row < table.rows(); ++row) {
    LinkSpec link;
    PLUTO_ASSIGN(link.name, table.name(row, "link"));
    PLUTO_ASSIGN(const double alpha, table.positive(row, "alpha_us"));
    PLUTO_ASSIGN(const double bandwidth, table.positive(row, "bandwidth_GBps"));
    link.alpha = Seconds(alpha * 1e-6);
    link.bandwidth = BytesPerSecond(bandwidth * kGiga);
    const std::string pattern = table.text(row, "instances");
    if (!pattern.empty()) {
      networks_.push_back({pattern, link, table.text(row, "source")});
    } else if (!intra.emplace(link.name, link).second) {
      return invalid_input(fmt::format("{}: \"{}\" is there twice", table.place(row), link.name));
    }
  }
  if (intra.empty()) return invalid_input(fmt::format("{}: no link inside a node", path));
  if (networks_.empty() || networks_.back().pattern != "*") {
    return invalid_input(fmt::format("{}: the last network must be for all instances", path),
                         "add a last row with * in the column \"instances\"");
  }
  return {};
}

Result<void> Catalog::read_devices(const std::string& path,
                                   const std::map<std::string, LinkSpec>& intra) {
  PLUTO_ASSIGN(const CatalogTable table,
               CatalogTable::read(
                   path, {"gpu", "fp32_tflops", "fp16_tflops_dense", "bf16_tflops_dense", "mem_GB",
                          "mem_GBps", "link", "link_unidir_GBps", "verification", "source"}));
  for (std::size_t row = 0; row < table.rows(); ++row) {
    DeviceSpec device;
    PLUTO_ASSIGN(device.name, table.name(row, "gpu"));
    if (device.name.starts_with("TPU")) {
      warnings_.push_back(fmt::format("{}: {} left out: no GPU", table.place(row), device.name));
      continue;
    }
    PLUTO_ASSIGN(const double memory, table.positive(row, "mem_GB"));
    PLUTO_ASSIGN(const double bandwidth, table.positive(row, "mem_GBps"));
    device.memory = Bytes(std::llround(memory * kGiga));
    device.memory_bandwidth = BytesPerSecond(bandwidth * kGiga);
    for (const auto& [column, dtype] :
         {std::pair("fp32_tflops", DType::kF32), std::pair("fp16_tflops_dense", DType::kF16),
          std::pair("bf16_tflops_dense", DType::kBF16)}) {
      PLUTO_ASSIGN(const std::optional<double> tflops, table.amount(row, column));
      if (tflops && *tflops > 0) device.peak[dtype] = FlopsPerSecond(*tflops * kTera);
    }
    // TF32 and 8 bits are modes of arithmetic, no element types here.
    for (const auto& [column, peak] : {std::pair("tf32_tflops_dense", &device.tf32_peak),
                                       std::pair("fp8_tflops_dense", &device.f8_peak)}) {
      PLUTO_ASSIGN(const std::optional<double> tflops, table.amount(row, column));
      if (tflops && *tflops > 0) *peak = FlopsPerSecond(*tflops * kTera);
    }
    device.generation = table.text(row, "generation");
    PLUTO_ASSIGN(const std::optional<double> processors, table.amount(row, "multiprocessors"));
    device.multiprocessors = static_cast<int>(processors.value_or(0));
    PLUTO_ASSIGN(const std::optional<double> cache, table.amount(row, "cache_MB"));
    device.cache = Bytes(std::llround(cache.value_or(0) * kMega));

    DeviceNotes notes;
    if (const std::string link = table.text(row, "link"); !link.empty()) {
      const auto known = intra.find(link);
      if (known == intra.end()) {
        return invalid_input(
            fmt::format("{}: link \"{}\" is not in links.csv", table.place(row), link));
      }
      notes.intra = known->second;
    } else {
      notes.intra = intra.begin()->second;
      for (const auto& [name, candidate] : intra) {
        if (candidate.bandwidth < notes.intra.bandwidth) notes.intra = candidate;
      }
      notes.intra.name += " (assumed)";
    }
    PLUTO_ASSIGN(const std::optional<double> own, table.amount(row, "link_unidir_GBps"));
    if (own && *own > 0) notes.intra.bandwidth = BytesPerSecond(*own * kGiga);
    notes.source =
        fmt::format("{} ({})", table.text(row, "source"), table.text(row, "verification"));
    if (!notes_.emplace(device.name, notes).second) {
      return invalid_input(fmt::format("{}: \"{}\" is there twice", table.place(row), device.name));
    }
    devices_.push_back(std::move(device));
  }
  return {};
}

Result<void> Catalog::read_accelerators(const std::string& path) {
  PLUTO_ASSIGN(const CatalogTable table,
               CatalogTable::read(path, {"accelerator", "instances", "gpu", "source"}));
  for (std::size_t row = 0; row < table.rows(); ++row) {
    AcceleratorName entry;
    PLUTO_ASSIGN(entry.accelerator, table.name(row, "accelerator"));
    PLUTO_ASSIGN(entry.pattern, table.name(row, "instances"));
    PLUTO_ASSIGN(entry.device, table.name(row, "gpu"));
    if (notes_.find(entry.device) == notes_.end()) {
      return invalid_input(
          fmt::format("{}: \"{}\" is not in gpu_specs.csv", table.place(row), entry.device));
    }
    accelerators_.push_back(std::move(entry));
  }
  return {};
}

Result<void> Catalog::read_prices(const std::string& path) {
  PLUTO_ASSIGN(
      const CatalogTable table,
      CatalogTable::read(
          path, {"cloud", "instance_type", "accelerator", "accelerator_count", "vcpus",
                 "price_usd_per_h", "spot_usd_per_h", "region", "date", "verification", "source"}));
  for (std::size_t row = 0; row < table.rows(); ++row) {
    Offer offer;
    PLUTO_ASSIGN(const std::string cloud, table.name(row, "cloud"));
    PLUTO_ASSIGN(const std::string type, table.name(row, "instance_type"));
    offer.name = cloud + ":" + type;
    offer.accelerator = table.text(row, "accelerator");
    PLUTO_ASSIGN(const std::optional<double> count, table.amount(row, "accelerator_count"));
    PLUTO_ASSIGN(const double price, table.positive(row, "price_usd_per_h"));
    PLUTO_ASSIGN(const std::optional<double> spot, table.amount(row, "spot_usd_per_h"));
    offer.price = DollarsPerHour(price);
    if (spot) offer.spot_price = DollarsPerHour(*spot);
    offer.date = table.text(row, "date");
    offer.source = fmt::format("{}, {} ({})", table.text(row, "source"), table.text(row, "region"),
                               table.text(row, "verification"));
    offer.count = static_cast<int>(count.value_or(0));
    PLUTO_ASSIGN(const std::optional<double> cores, table.amount(row, "vcpus"));
    offer.cores = static_cast<int>(cores.value_or(0));

    const std::optional<InstanceType> instance =
        offer.count >= 1 ? join(offer) : std::optional<InstanceType>();
    if (!instance) {
      warnings_.push_back(fmt::format(
          "{}: {} left out: {}", table.place(row), offer.name,
          offer.accelerator.empty() ? "it has no accelerator"
                                    : "accelerator \"" + offer.accelerator + "\" is unknown"));
      continue;
    }
    const auto same =
        std::find_if(instances_.begin(), instances_.end(),
                     [&](const InstanceType& other) { return other.name == instance->name; });
    if (same == instances_.end()) {
      instances_.push_back(*instance);
      continue;
    }
    const bool newer = year_of(instance->price_date) > year_of(same->price_date);
    warnings_.push_back(fmt::format("{}: {} has several prices; the one of {} counts",
                                    table.place(row), offer.name,
                                    newer ? instance->price_date : same->price_date));
    if (newer) *same = *instance;
  }
  return {};
}

std::optional<InstanceType> Catalog::join(const Offer& offer) const {
  const auto known =
      std::find_if(accelerators_.begin(), accelerators_.end(), [&](const AcceleratorName& entry) {
        return entry.accelerator == offer.accelerator && matches(entry.pattern, offer.name);
      });
  if (known == accelerators_.end()) return std::nullopt;
  const auto network = std::find_if(
      networks_.begin(), networks_.end(),
      [&](const Network& candidate) { return matches(candidate.pattern, offer.name); });
  const DeviceNotes& notes = notes_.at(known->device);

  InstanceType instance;
  instance.name = offer.name;
  instance.node.device =
      *std::find_if(devices_.begin(), devices_.end(),
                    [&](const DeviceSpec& device) { return device.name == known->device; });
  instance.node.devices = offer.count;
  instance.node.cores = offer.cores;
  instance.node.intra = notes.intra;
  instance.node.network = network->link;
  // One network interface serves every device of the node.
  instance.node.network.shared_by = offer.count;
  instance.price = offer.price;
  instance.spot_price = offer.spot_price;
  instance.price_date = offer.date;
  instance.source = fmt::format("price: {}; device: {}; network: {}", offer.source, notes.source,
                                network->source);
  instance.rental = rentals_.terms_of(offer.name, known->device, offer.count);
  return instance;
}

void Catalog::add_or_replace(InstanceType instance) {
  const auto same =
      std::find_if(instances_.begin(), instances_.end(),
                   [&](const InstanceType& other) { return other.name == instance.name; });
  if (same != instances_.end()) {
    *same = std::move(instance);
  } else {
    instances_.push_back(std::move(instance));
  }
}

Result<DeviceSpec> Catalog::device(const std::string& name) const {
  for (const DeviceSpec& device : devices_) {
    if (device.name == name) return device;
  }
  return no_such("device", name, devices_);
}

Result<std::vector<InstanceType>> Catalog::instances_like(const std::string& pattern) const {
  std::vector<InstanceType> found;
  for (const InstanceType& one : instances_) {
    if (matches(pattern, one.name)) found.push_back(one);
  }
  if (!found.empty()) return found;
  if (pattern.find('*') == std::string::npos) return instance(pattern).error();
  return Error{ErrorCode::kNotFound, fmt::format("no instance type is called like {}", pattern),
               "pluto-plan catalog lists them"};
}

Result<InstanceType> Catalog::instance(const std::string& name) const {
  for (const InstanceType& instance : instances_) {
    if (instance.name == name) return instance;
  }
  return no_such("instance type", name, instances_);
}

}  // namespace pluto
