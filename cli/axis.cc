#include "cli/axis.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

namespace pluto {

namespace {

struct Unit {
  const char* name;
  double seconds;
};
constexpr Unit kTimeUnits[] = {{"d", 86400}, {"h", 3600},  {"m", 60},   {"s", 1},
                               {"ms", 1e-3}, {"us", 1e-6}, {"ns", 1e-9}};

/// The value in its largest whole unit; ticks lie on whole units wherever they have one.
std::string time_label(double seconds) {
  for (const Unit& unit : kTimeUnits) {
    const double count = seconds / unit.seconds;
    if (count >= 1 - 1e-9) return fmt::format("{:.3g}{}", count, unit.name);
  }
  return "0";
}

std::string price_label(double dollars) {
  if (dollars >= 1e6) return fmt::format("${:.4g}M", dollars / 1e6);
  if (dollars >= 1e4) return fmt::format("${:.4g}k", dollars / 1e3);
  return fmt::format("${:.4g}", dollars);
}

/// Round numbers from below `low` to above `high`: 1, 2, 5 times powers of ten.
std::vector<double> decimal_steps(double low, double high) {
  std::vector<double> steps;
  for (double power = std::pow(10, std::floor(std::log10(low))); power <= high * 10; power *= 10) {
    for (const double digit : {1.0, 2.0, 5.0}) steps.push_back(digit * power);
  }
  return steps;
}

/// The same for clocks: whole parts of a minute, an hour and a day.
std::vector<double> clock_steps(double low, double high) {
  std::vector<double> steps;
  if (low < 1) steps = decimal_steps(low, 0.5);
  for (const double one :
       {1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400})
    steps.push_back(one);
  for (const double days : decimal_steps(2, std::max(2.0, high / 86400))) {
    if (days > 1) steps.push_back(days * 86400);
  }
  std::erase_if(steps, [](double step) { return step <= 0; });
  std::ranges::sort(steps);
  steps.erase(
      std::unique(steps.begin(), steps.end(), [](double a, double b) { return b < a * 1.0001; }),
      steps.end());
  return steps;
}

template <class Steps, class Label>
Axis axis(double least, double most, int ticks, Steps steps, Label label) {
  Axis made;
  if (!(most > 0)) {
    made.ticks.push_back({0, label(0)});
    return made;
  }
  made.logarithmic = least > 0 && most / least > kWide;
  if (made.logarithmic) {
    const double room = std::pow(most / least, 0.06);
    made.low = least / room;
    made.high = most * room;
    std::vector<double> inside;
    for (const double step : steps(made.low, made.high)) {
      if (step >= made.low && step <= made.high) inside.push_back(step);
    }
    // Every n-th of them.
    const std::size_t stride =
        (inside.size() + static_cast<std::size_t>(ticks) - 1) / static_cast<std::size_t>(ticks);
    for (std::size_t i = 0; i < inside.size(); i += std::max<std::size_t>(1, stride)) {
      made.ticks.push_back({inside[i], label(inside[i])});
    }
    return made;
  }
  const double room = most > least ? 0.08 * (most - least) : 0.1 * most;
  made.low = std::max(0.0, least - room);
  made.high = most + room;
  const double wanted = (made.high - made.low) / ticks;
  const std::vector<double> all = steps(wanted, made.high);
  const auto step = std::ranges::lower_bound(all, wanted);
  const double width = step == all.end() ? all.back() : *step;
  for (double k = std::ceil(made.low / width); k * width <= made.high; k += 1) {
    made.ticks.push_back({k * width, label(k * width)});
  }
  return made;
}

}  // namespace

double Axis::at(double value) const {
  if (!logarithmic) return (value - low) / (high - low);
  return std::log(value / low) / std::log(high / low);
}

Axis time_axis(Seconds least, Seconds most, int ticks) {
  return axis(least.value(), most.value(), ticks, clock_steps, time_label);
}

Axis price_axis(Dollars least, Dollars most, int ticks) {
  return axis(least.value(), most.value(), ticks, decimal_steps, price_label);
}

}  // namespace pluto
