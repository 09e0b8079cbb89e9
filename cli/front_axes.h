#pragma once
// What both pictures of the front share: axes over its points, and over limits near them.

#include "cli/axis.h"
#include "cli/front_chart.h"

namespace pluto {

struct FrontAxes {
  Axis time, price;
  /// Limits that lie within the axes.
  std::optional<Seconds> deadline;
  std::optional<Dollars> budget;
};

/// A limit at most kNearLimit times beyond all points widens the axes; one farther away is left
/// out. Precondition: the chart has points.
FrontAxes front_axes(const FrontChart& chart, int time_ticks, int price_ticks);
inline constexpr double kNearLimit = 4;

/// "deadline 6h00m lies beyond the right edge": limits that front_axes() left out; may be empty.
std::vector<std::string> limits_outside(const FrontChart& chart, const FrontAxes& axes);

}  // namespace pluto
