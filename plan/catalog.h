#pragma once
// Named devices, instance types and dated prices, read from data/ and from users' CSV files.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "plan/cluster.h"
#include "plan/rental_table.h"

namespace pluto {

/// Names are unique. Rows without a known device are left out and reported in warnings().
/// data/README.md describes the files.
class Catalog {
 public:
  /// Reads gpu_specs.csv, links.csv, accelerators.csv, run_overheads.json and cloud_prices.csv of
  /// `folder`. Errors:
  /// kNotFound (folder or file), kInvalidInput with file:line.
  static Result<Catalog> load(const std::string& folder);
  /// Adds instance types of a CSV with SkyPilot's columns (InstanceType, AcceleratorName,
  /// AcceleratorCount, vCPUs, MemoryGiB, Price, Region, SpotPrice). `provider` becomes the prefix
  /// of the names. Of several regions the one with the lowest price is kept; a type already there
  /// is replaced. A blank Price or SpotPrice means not offered. Rows without accelerator, rows that
  /// sell an accelerator apart from its host, and accelerators unknown here are left out with a
  /// warning that counts them. Device facts stay ours: where the file's memory size (GpuInfo)
  /// differs by more than a tenth, a warning says so. Errors: kNotFound, kInvalidInput; nothing is
  /// added then.
  Result<void> add_prices(const std::string& csv_path, const std::string& provider);

  const std::vector<DeviceSpec>& devices() const { return devices_; }
  const std::vector<InstanceType>& instances() const { return instances_; }
  const std::vector<std::string>& warnings() const { return warnings_; }
  /// Errors: kNotFound with the nearest name in help.
  Result<DeviceSpec> device(const std::string& name) const;
  Result<InstanceType> instance(const std::string& name) const;
  /// Instances whose name the pattern ("aws:p4*", "*") matches. Errors: kNotFound when none does,
  /// with the nearest name in help.
  Result<std::vector<InstanceType>> instances_like(const std::string& pattern) const;

 private:
  /// What gpu_specs.csv says beside the DeviceSpec.
  struct DeviceNotes {
    LinkSpec intra;
    std::string source;  ///< with "from memory" where the row is marked so
  };
  /// A network of the instances whose name the pattern ("aws:p4*") matches; the first match counts.
  struct Network {
    std::string pattern;
    LinkSpec link;
    std::string source;
  };
  /// How a price list calls a device, on the instances of the pattern; the first match counts.
  struct AcceleratorName {
    std::string accelerator, pattern, device;
  };
  /// A row of a price list.
  struct Offer {
    std::string name, accelerator;
    int count = 1, cores = 0;
    DollarsPerHour price;
    std::optional<DollarsPerHour> spot_price;
    std::string date, source;
  };

  Result<void> read_links(const std::string& path, std::map<std::string, LinkSpec>& intra);
  Result<void> read_devices(const std::string& path, const std::map<std::string, LinkSpec>& intra);
  Result<void> read_accelerators(const std::string& path);
  Result<void> read_prices(const std::string& path);
  /// Joins offer, device and network; nullopt when the accelerator is unknown.
  std::optional<InstanceType> join(const Offer& offer) const;
  void add_or_replace(InstanceType instance);

  std::vector<DeviceSpec> devices_;
  std::vector<InstanceType> instances_;
  std::vector<std::string> warnings_;
  std::map<std::string, DeviceNotes> notes_;  ///< by device name
  std::vector<Network> networks_;
  std::vector<AcceleratorName> accelerators_;
  RentalTable rentals_;
};

}  // namespace pluto
