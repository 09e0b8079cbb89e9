#pragma once
// What renting a node brings besides its price: starting, billing, storage, and how spot nodes are
// taken back.

#include <optional>
#include <string>

#include "base/document.h"
#include "base/result.h"
#include "base/units.h"
#include "plan/evidence.h"

namespace pluto {

/// How a provider takes back spot nodes, per node.
struct Interruptions {
  Seconds between;    ///< mean time a node is kept
  Seconds wait;       ///< mean time until another can be had
  double spread = 0;  ///< standard deviation of ln(between) from one place and week to another
  Evidence evidence = Evidence::kAssumed;
  std::string source;
  bool operator==(const Interruptions&) const = default;
};

/// Of one instance type. Machines of one's own have none.
struct RentalTerms {
  Seconds provisioning;     ///< from the request until the node runs; not billed
  Seconds boot;             ///< from there to the first step: system, image, libraries; billed
  Seconds billing_step;     ///< time is billed in whole multiples of it
  Seconds billing_minimum;  ///< of each node
  BytesPerSecond storage;   ///< durable storage to one node, where the job does not say
  double storage_usd_per_gb_month = 0;
  double spot_price_spread = 0;  ///< of ln(spot price) over a run
  Interruptions interruptions;   ///< of spot nodes
  std::string source;
  bool operator==(const RentalTerms&) const = default;
};

/// JSON form, units in the keys; docs/plan_format.md lists them.
Value to_value(const RentalTerms& terms);
/// Strict. Errors: kInvalidInput with the place; also for times that are not positive where they
/// divide (billing_step_s, storage_bytes_per_s, between_s).
Result<RentalTerms> rental_from_value(const Value& value, const std::string& where);

}  // namespace pluto
