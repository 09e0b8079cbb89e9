#include "planner/ranking.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "base/statistics.h"

namespace pluto {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

double log_ratio(double value, double limit) {
  if (value <= 0) return -kInfinity;
  return limit <= 0 ? kInfinity : std::log(value / limit);
}

}  // namespace

Score score_of(const TrainingJob& job, Seconds time, Dollars price, double probability) {
  switch (job.minimize) {
    case Objective::kCost:
      return {price.value(), time.value(), 0};
    case Objective::kTime:
      return {time.value(), price.value(), 0};
    case Objective::kRisk:
      return {-probability, price.value(), time.value()};
  }
  return {};
}

Score score_of(const TrainingJob& job, const Prediction& prediction) {
  return score_of(job, prediction.time_to_target.p50, prediction.price.p50,
                  probability_of(prediction));
}

double probability_of(const Prediction& prediction) {
  if (prediction.p_both) return *prediction.p_both;
  return std::min(prediction.p_deadline.value_or(1), prediction.p_budget.value_or(1));
}

bool meets_deadline(const TrainingJob& job, const Prediction& prediction) {
  return prediction.p_deadline.value_or(1) >= job.confidence;
}

bool meets_budget(const TrainingJob& job, const Prediction& prediction) {
  return prediction.p_budget.value_or(1) >= job.confidence;
}

double quantile_factor(const TrainingJob& job, const Prediction& prediction) {
  return std::exp(normal_quantile(job.confidence) * sigma_of(prediction));
}

double price_quantile_factor(const TrainingJob& job, const Prediction& prediction) {
  return std::exp(normal_quantile(job.confidence) * price_sigma_of(prediction));
}

bool fits_memory(const Plan& plan, const Prediction& prediction) {
  return prediction.memory.total() + prediction.process_overhead <=
         plan.cluster.instance.node.device.memory;
}

double overrun(const TrainingJob& job, const Prediction& prediction) {
  const double factor = quantile_factor(job, prediction);
  double most = -kInfinity;
  if (job.deadline) {
    most = std::max(
        most, log_ratio(prediction.time_to_target.p50.value() * factor, job.deadline->value()));
  }
  if (job.budget) {
    const double dearest = prediction.price.p50.value() * price_quantile_factor(job, prediction);
    most = std::max(most, log_ratio(dearest, job.budget->value()));
  }
  return most;
}

bool better(const TrainingJob& job, const RankedPlan& a, const RankedPlan& b) {
  const auto key = [](const RankedPlan& one) {
    return std::tuple(one.plan.cluster.instance.name, one.plan.layout.ranks(),
                      one.plan.global_batch, -one.plan.micro_batch);
  };
  const auto first = score_of(job, a.prediction), second = score_of(job, b.prediction);
  if (first != second) return first < second;
  return key(a) < key(b);
}

NearestMisses nearest_misses(const TrainingJob& job, const std::vector<RankedPlan>& plans) {
  NearestMisses nearest;
  const auto keep = [](std::optional<RankedPlan>& best, const RankedPlan& plan, auto value) {
    if (!best || value(plan) < value(*best)) best = plan;
  };
  for (const auto& plan : plans) {
    if (!fits_memory(plan.plan, plan.prediction)) continue;
    if (job.budget && meets_deadline(job, plan.prediction)) {
      keep(nearest.by_budget, plan, [&](const RankedPlan& one) {
        return one.prediction.price.p50.value() * price_quantile_factor(job, one.prediction);
      });
    }
    if (job.deadline && meets_budget(job, plan.prediction)) {
      keep(nearest.by_deadline, plan, [&](const RankedPlan& one) {
        return one.prediction.time_to_target.p50.value() * quantile_factor(job, one.prediction);
      });
    }
    keep(nearest.by_confidence, plan, [](const RankedPlan& one) {
      return std::pair(-probability_of(one.prediction), one.prediction.price.p50.value());
    });
  }
  return nearest;
}

}  // namespace pluto
