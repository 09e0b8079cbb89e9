#pragma once
// Whether measuring before the run is worth what it costs.

#include <string>

#include "base/units.h"
#include "planner/planner.h"

namespace pluto {

/// What measuring the steps of the two best plans is worth: the money, or the time at the price of
/// the first plan's nodes, that deciding afterwards saves at the mean.
/// Formula: with medians a <= b of the two and D = b - a, the difference of what measuring would
///   find is normal around D with deviation s; value = s phi(D/s) - D Phi(-D/s), the mean of
///   max(0, -D'). s^2 = A^2 + B^2, A^2 = a^2 (sigma_a^2 - m^2) with sigma_a the spread of the first
///   plan's step and m that of a measured one; plans on one kind of device err together, s =
///   |A - B|. Value in dollars by price (minimize cost, risk) or by time at the first plan's price
///   per second (minimize time).
/// Source: Raiffa and Schlaifer 1961 (value of sample information, normal, two actions). Valid for:
///   two plans that both meet the limits. Ignores: third plans, that a probe also tells whether
///   limits are met, what else a measurement is good for. Test: planner/probe_value_test.cc.
Dollars probe_value(const TrainingJob& job, const RankedPlan& first, const RankedPlan& second);

/// What a probe of `duration` costs: one node of the plan's type on demand, started and billed as
/// its provider does.
Dollars probe_price(const Plan& plan, Seconds duration);

/// A measurement to make before deciding.
struct Probe {
  std::string instance;  ///< what to rent: of the two plans the one whose step is less sure
  Dollars value, price;
};
/// The probe of two plans, whatever it is worth; its price is that of both devices, when they
/// differ.
Probe probe_of(const TrainingJob& job, const RankedPlan& first, const RankedPlan& second,
               Seconds duration);

}  // namespace pluto
