#include "cli/front_axes.h"

#include <fmt/format.h>

#include <algorithm>

namespace pluto {

namespace {

/// Widened to a limit that is near.
template <class Q>
std::optional<Q> admit(Q& least, Q& most, const std::optional<Q>& limit) {
  if (!limit || *limit > most * kNearLimit || *limit * kNearLimit < least) return std::nullopt;
  least = std::min(least, *limit);
  most = std::max(most, *limit);
  return limit;
}

}  // namespace

FrontAxes front_axes(const FrontChart& chart, int time_ticks, int price_ticks) {
  const auto [fast, slow] = std::ranges::minmax(chart.points, {}, &FrontPoint::time);
  const auto [cheap, dear] = std::ranges::minmax(chart.points, {}, &FrontPoint::price);
  Seconds shortest = fast.time, longest = slow.time;
  Dollars least = cheap.price, most = dear.price;
  FrontAxes axes;
  axes.deadline = admit(shortest, longest, chart.deadline);
  axes.budget = admit(least, most, chart.budget);
  axes.time = time_axis(shortest, longest, time_ticks);
  axes.price = price_axis(least, most, price_ticks);
  return axes;
}

std::vector<std::string> limits_outside(const FrontChart& chart, const FrontAxes& axes) {
  std::vector<std::string> lines;
  if (chart.deadline && !axes.deadline) {
    const bool right = chart.deadline->value() > axes.time.high;
    lines.push_back(fmt::format("deadline {} lies beyond the {} edge", to_text(*chart.deadline),
                                right ? "right" : "left"));
  }
  if (chart.budget && !axes.budget) {
    const bool above = chart.budget->value() > axes.price.high;
    lines.push_back(fmt::format("budget {} lies {} the picture", to_text(*chart.budget),
                                above ? "above" : "below"));
  }
  return lines;
}

}  // namespace pluto
