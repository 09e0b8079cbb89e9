#pragma once
// The axes of a chart: where a value lies, and what is written beside it.

#include <string>
#include <vector>

#include "base/units.h"

namespace pluto {

struct Tick {
  double value = 0;
  std::string label;
};

/// From low to high; logarithmic where the values are more than a factor of kWide apart.
struct Axis {
  double low = 0, high = 1;
  bool logarithmic = false;
  std::vector<Tick> ticks;  ///< inside low..high, ascending
  /// Where a value lies: 0 at low, 1 at high, beyond them outside [0, 1].
  double at(double value) const;
};
inline constexpr double kWide = 8;

/// Axes over values from least to most, with some room around them and at most `ticks` ticks (at
/// least one where room allows) at round values of the unit: "30m", "6h", "2d"; "$0.05", "$20k".
/// Precondition: 0 <= least <= most, ticks >= 2.
Axis time_axis(Seconds least, Seconds most, int ticks);
Axis price_axis(Dollars least, Dollars most, int ticks);

}  // namespace pluto
