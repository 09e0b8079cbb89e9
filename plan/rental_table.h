#pragma once
// run_overheads.json of the catalog: what renting brings, by provider and device.

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "plan/rental.h"

namespace pluto {

class RentalTable {
 public:
  /// data/README.md describes the file. Errors: kNotFound, kInvalidInput with the place; also
  /// without an entry "*" for all other providers.
  static Result<RentalTable> load(const std::string& path);
  /// Of an instance type "provider:type" with so many devices of that name. The provider's terms,
  /// else those of "*"; interruptions of that device and number of devices, else those of all.
  RentalTerms terms_of(const std::string& instance, const std::string& device, int devices) const;

 private:
  struct Traced {
    std::string device;
    int devices = 1;
    Interruptions interruptions;
  };
  std::map<std::string, RentalTerms> providers_;
  std::vector<Traced> traced_;
};

}  // namespace pluto
