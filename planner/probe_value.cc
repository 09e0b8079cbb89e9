#include "planner/probe_value.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/statistics.h"
#include "costmodel/uncertainty.h"

namespace pluto {

namespace {

double step_spread(const Prediction& prediction) {
  const auto& step = prediction.step_time;
  return step.p50.value() > 0 ? std::log(step.p90 / step.p50) / normal_quantile(0.9) : 0;
}

/// Deviation of what a measurement would find.
double learned(double value, const Prediction& prediction) {
  const double spread = step_spread(prediction), left = least_spread(Evidence::kMeasured);
  return value * std::sqrt(std::max(0.0, spread * spread - left * left));
}

const std::string& device_of(const RankedPlan& ranked) {
  return ranked.plan.cluster.instance.node.device.name;
}

}  // namespace

Dollars probe_value(const TrainingJob& job, const RankedPlan& first, const RankedPlan& second) {
  const double per_second = first.plan.cluster.price().value() / 3600;
  const auto value_of = [&](const RankedPlan& ranked) {
    return job.minimize == Objective::kTime
               ? ranked.prediction.time_to_target.p50.value() * per_second
               : ranked.prediction.price.p50.value();
  };
  const double a = value_of(first), b = value_of(second);
  const double gap = std::abs(b - a);
  const double of_first = learned(a, first.prediction), of_second = learned(b, second.prediction);
  const double deviation = device_of(first) == device_of(second) ? std::abs(of_first - of_second)
                                                                 : std::hypot(of_first, of_second);
  if (!(deviation > 0)) return Dollars();
  const double z = gap / deviation;
  const double density = std::exp(-z * z / 2) / std::sqrt(2 * std::numbers::pi);
  return Dollars(std::max(0.0, deviation * density - gap * normal_cdf(-z)));
}

Dollars probe_price(const Plan& plan, Seconds duration) {
  const InstanceType& instance = plan.cluster.instance;
  if (!instance.rental) return instance.price * duration;
  const double step = instance.rental->billing_step.value();
  const double billed =
      std::max(instance.rental->billing_minimum, instance.rental->boot + duration).value();
  return instance.price * Seconds(std::ceil(billed / step) * step);
}

Probe probe_of(const TrainingJob& job, const RankedPlan& first, const RankedPlan& second,
               Seconds duration) {
  const bool alike = device_of(first) == device_of(second);
  const RankedPlan& unsure =
      step_spread(second.prediction) > step_spread(first.prediction) ? second : first;
  Probe probe{unsure.plan.cluster.instance.name, probe_value(job, first, second),
              probe_price(first.plan, duration)};
  if (!alike) probe.price += probe_price(second.plan, duration);
  return probe;
}

}  // namespace pluto
