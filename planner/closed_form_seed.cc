#include "planner/closed_form_seed.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "costmodel/collective_time.h"
#include "planner/market_choice.h"
#include "planner/ranking.h"

namespace pluto {

namespace {

/// Of a batch that is fixed: so far away that more devices never ask for a larger one.
constexpr double kNoCriticalBatch = 1e18;
constexpr Seconds kLeastOverhead{1e-6};

/// What the cells of one instance type say.
struct Kind {
  const InstanceType* instance = nullptr;
  Seconds per_sample{std::numeric_limits<double>::infinity()};
  double samples = 0, batch = 0;  // to the target, at this batch
  double max_batch = 0;
  std::set<int> devices;
};

std::map<std::string, Kind> kinds_of(const PlanSpace& space,
                                     const std::vector<BoundedCell>& cells) {
  std::map<std::string, Kind> kinds;
  for (const BoundedCell& one : cells) {
    const auto place = space.place(one.cell);
    if (!place) return {};
    Kind& kind = kinds[place->instance->name];
    kind.instance = place->instance;
    const double batch = static_cast<double>(place->batch);
    const double steps = static_cast<double>(place->steps);
    const Seconds sample = one.bound.time / steps * (place->ranks / batch);
    kind.per_sample = std::min(kind.per_sample, sample);
    kind.samples = steps * batch;
    kind.batch = batch;
    kind.max_batch = std::max(kind.max_batch, batch);
    kind.devices.insert(place->ranks);
  }
  return kinds;
}

ClosedFormJob job_of(const TrainingJob& job, const Kind& kind, Bytes gradients) {
  ClosedFormJob closed;
  closed.critical_batch =
      job.global_batch || !job.samples_law || job.samples_law->kind == LawKind::kFixed
          ? kNoCriticalBatch
          : job.samples_law->critical_batch;
  closed.least_samples = kind.samples / (1 + kind.batch / closed.critical_batch);
  closed.per_sample = kind.per_sample;
  closed.max_batch = kind.max_batch;
  closed.max_devices = *kind.devices.rbegin();
  const int node = std::max(1, kind.instance->node.devices);
  closed.step_of_devices = std::min(node, closed.max_devices);
  const ClusterSpec one{*kind.instance, 1};
  closed.price = least_price(job, one) * (1.0 / closed.step_of_devices);
  closed.overhead = [one, node, gradients](int devices) {
    ClusterSpec cluster = one;
    cluster.nodes = (devices + node - 1) / node;
    CollectiveCall call;
    call.bytes = gradients;
    call.ranks = devices;
    return devices == 1 ? kLeastOverhead : collective_time(call, cluster).total() + kLeastOverhead;
  };
  return closed;
}

/// The best number of devices of the type; nullopt when none meets the limits.
std::optional<ClosedFormPlan> best_of(const TrainingJob& job, const ClosedFormJob& closed,
                                      const std::set<int>& devices) {
  const auto allowed = [&](const ClosedFormPlan& plan) {
    return (!job.deadline || plan.time <= *job.deadline) &&
           (!job.budget || plan.price <= *job.budget);
  };
  if (job.deadline && job.minimize != Objective::kTime) {
    const auto fewest = fewest_devices(closed, *job.deadline);
    return fewest && allowed(*fewest) ? fewest : std::nullopt;
  }
  std::optional<ClosedFormPlan> best;
  for (const int count : devices) {
    if (count % closed.step_of_devices != 0) continue;  // a part of a node costs all of it
    const auto plan = closed_form_at(closed, count);
    if (!plan || !allowed(*plan)) continue;
    const auto score = [&](const ClosedFormPlan& one) {
      return score_of(job, one.time, one.price, 1);
    };
    if (!best || score(*plan) < score(*best)) best = plan;
  }
  return best;
}

}  // namespace

std::optional<ClosedFormSeed> closed_form_seed(const TrainingJob& job, const PlanSpace& space,
                                               const std::vector<BoundedCell>& cells) {
  std::optional<ClosedFormChoice> best;
  for (const auto& [name, kind] : kinds_of(space, cells)) {
    ClosedFormJob closed = job_of(job, kind, space.gradient_bytes());
    if (!(closed.per_sample.value() > 0)) continue;
    const auto plan = best_of(job, closed, kind.devices);
    if (!plan) continue;
    if (best && score_of(job, best->plan.time, best->plan.price, 1) <=
                    score_of(job, plan->time, plan->price, 1)) {
      continue;
    }
    best = ClosedFormChoice{name, std::move(closed), *plan};
  }
  if (!best) return std::nullopt;
  std::optional<ClosedFormSeed> seed;
  double least = std::numeric_limits<double>::infinity();
  for (const BoundedCell& one : cells) {
    const auto place = space.place(one.cell);
    if (place->instance->name != best->instance) continue;
    const double away = std::abs(std::log(place->ranks / double(best->plan.devices))) +
                        std::abs(std::log(static_cast<double>(place->batch) / best->plan.batch));
    if (away >= least) continue;
    least = away;
    seed = ClosedFormSeed{one.cell, *best};
  }
  return seed;
}

}  // namespace pluto
