#pragma once
// The plan that a step of a + b B / n has: the batch, and the fewest devices for a deadline.

#include <functional>
#include <limits>
#include <optional>

#include "base/units.h"

namespace pluto {

/// One job on one kind of device.
struct ClosedFormJob {
  double least_samples = 1;   ///< Emin of E(B) = Emin (1 + B/Bc)
  double critical_batch = 1;  ///< Bc
  Seconds per_sample;         ///< b: of one device, > 0
  /// a(n), > 0 and never falling with n: what a step takes beside the samples on n devices (exposed
  /// communication, launches, update).
  std::function<Seconds(int)> overhead;
  DollarsPerHour price;     ///< of one device
  int step_of_devices = 1;  ///< devices come in whole nodes of so many
  int max_devices = 1;
  double least_share = 0;                                       ///< samples of a device and step
  double most_share = std::numeric_limits<double>::infinity();  ///< what its memory holds
  double max_batch = std::numeric_limits<double>::infinity();
};

struct ClosedFormPlan {
  int devices = 1;
  double batch = 1;  ///< not rounded
  Seconds time;
  Dollars price;
};

/// Time to the target at any batch. Formula: Emin (1/B + 1/Bc) (a(n) + b B / n).
Seconds closed_form_time(const ClosedFormJob& job, int devices, double batch);

/// The fastest batch on n devices, which is also the cheapest.
/// Formula: B* = sqrt(a Bc n / b), limited to [n least_share, n most_share] and max_batch;
/// unlimited T = Smin (sqrt(a) + sqrt(b Bc / n))^2 and price P Smin (sqrt(a n) + sqrt(b Bc))^2,
/// Smin = Emin / Bc. Source: ours, from the law of McCandlish et al. 2018 and t(B, n) = a + b B /
/// n. Valid for: work that is linear in the samples of a device. Ignores: start-up, evaluation,
/// quantised batches and idle lanes at small shares. Test: planner/closed_form_plan_test.cc,
/// against brute force. Nullopt: n least_share is above max_batch.
std::optional<ClosedFormPlan> closed_form_at(const ClosedFormJob& job, int devices);

/// The fewest devices that meet a deadline, which are the cheapest, since the price grows with n.
/// Formula: n* = b Bc / (sqrt(D / Smin) - sqrt(a))^2 (its like where the batch is limited), rounded
/// up to whole nodes and repeated from one node on until a(n) agrees: as a(n) never falls, every
/// round stays at or below the answer. Nullopt: no number up to max_devices does; D > a Smin is
/// needed.
std::optional<ClosedFormPlan> fewest_devices(const ClosedFormJob& job, Seconds deadline);

}  // namespace pluto
