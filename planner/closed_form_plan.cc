#include "planner/closed_form_plan.h"

#include <algorithm>
#include <cmath>

namespace pluto {

namespace {

// Of a deadline that is met exactly.
constexpr double kRounding = 1e-9;

/// Devices, not rounded, at which the best batch takes `deadline`, for one overhead. The time falls
/// with n, and as n grows the batch is held by most_share, by nothing, by max_batch or by
/// least_share: one of the four answers lies where it holds.
std::optional<double> devices_for(const ClosedFormJob& job, double a, double deadline) {
  const double b = job.per_sample.value(), critical = job.critical_batch;
  const double least_steps = job.least_samples / critical;
  const double slack = 1 + kRounding;
  const auto free_batch = [&](double n) { return std::sqrt(a * critical * n / b); };
  const auto by_share = [&](double share) -> std::optional<double> {
    const double rest = deadline / (least_steps * (a + b * share)) - 1;
    if (!(rest > 0)) return std::nullopt;
    return critical / share / rest;
  };
  if (std::isfinite(job.most_share)) {
    const auto n = by_share(job.most_share);
    const bool holds = n && *n * job.most_share <= free_batch(*n) * slack &&
                       *n * job.most_share <= job.max_batch * slack;
    if (holds) return n;
  }
  if (const double root = std::sqrt(deadline / least_steps) - std::sqrt(a); root > 0) {
    const double n = b * critical / (root * root);
    const double batch = free_batch(n);
    if (batch <= n * job.most_share * slack && batch <= job.max_batch * slack &&
        batch * slack >= n * job.least_share) {
      return n;
    }
  }
  if (std::isfinite(job.max_batch)) {
    const double rest = deadline / (least_steps * (1 + critical / job.max_batch)) - a;
    const double n = b * job.max_batch / rest;
    const bool holds = rest > 0 && free_batch(n) * slack >= job.max_batch &&
                       n * job.most_share * slack >= job.max_batch &&
                       n * job.least_share <= job.max_batch * slack;
    if (holds) return n;
  }
  if (job.least_share > 0) {
    const auto n = by_share(job.least_share);
    const bool holds = n && *n * job.least_share * slack >= free_batch(*n) &&
                       *n * job.least_share <= job.max_batch * slack;
    if (holds) return n;
  }
  return std::nullopt;
}

}  // namespace

Seconds closed_form_time(const ClosedFormJob& job, int devices, double batch) {
  const double steps = job.least_samples * (1 / batch + 1 / job.critical_batch);
  return Seconds(steps *
                 (job.overhead(devices).value() + job.per_sample.value() * batch / devices));
}

std::optional<ClosedFormPlan> closed_form_at(const ClosedFormJob& job, int devices) {
  const double a = job.overhead(devices).value(), b = job.per_sample.value();
  const double low = devices * job.least_share;
  const double high = std::min(devices * job.most_share, job.max_batch);
  if (low > high * (1 + kRounding)) return std::nullopt;
  ClosedFormPlan plan;
  plan.devices = devices;
  plan.batch = std::min(std::max(std::sqrt(a * job.critical_batch * devices / b), low), high);
  plan.time = closed_form_time(job, devices, plan.batch);
  plan.price = job.price * plan.time * devices;
  return plan;
}

std::optional<ClosedFormPlan> fewest_devices(const ClosedFormJob& job, Seconds deadline) {
  int devices = job.step_of_devices;
  while (devices <= job.max_devices) {
    const auto plan = closed_form_at(job, devices);
    if (!plan) return std::nullopt;
    if (plan->time.value() <= deadline.value() * (1 + kRounding)) return plan;
    const auto wanted = devices_for(job, job.overhead(devices).value(), deadline.value());
    if (!wanted || *wanted > job.max_devices) return std::nullopt;
    const double nodes = std::ceil(*wanted / job.step_of_devices * (1 - kRounding));
    devices =
        std::max(devices + job.step_of_devices, static_cast<int>(nodes) * job.step_of_devices);
  }
  return std::nullopt;
}

}  // namespace pluto
