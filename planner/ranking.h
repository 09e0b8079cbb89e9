#pragma once
// Which of two plans is better, and whether one meets the limits.

#include <array>
#include <optional>
#include <vector>

#include "plan/job.h"
#include "planner/planner.h"

namespace pluto {

/// Lower is better, first entry first. cost: price, time. time: time, price. risk: minus the
/// probability of meeting every limit, price, time. All of medians.
using Score = std::array<double, 3>;
Score score_of(const TrainingJob& job, Seconds time, Dollars price, double probability);
Score score_of(const TrainingJob& job, const Prediction& prediction);

/// Probability of meeting every limit the job has together; 1 without limits.
double probability_of(const Prediction& prediction);
/// Deadline and budget at the job's confidence. A limit the job does not have is met.
bool meets_deadline(const TrainingJob& job, const Prediction& prediction);
bool meets_budget(const TrainingJob& job, const Prediction& prediction);
/// What the job's confidence makes of the median of the time: quantile / median.
double quantile_factor(const TrainingJob& job, const Prediction& prediction);
/// Likewise of the price: on spot nodes the two differ.
double price_quantile_factor(const TrainingJob& job, const Prediction& prediction);
/// Memory plan and process overhead within the device's memory.
bool fits_memory(const Plan& plan, const Prediction& prediction);

/// How far beyond the limits: the largest of ln(time quantile / deadline), ln(price quantile /
/// budget) at the job's confidence; -infinity without limits, infinity beyond a budget of nothing.
double overrun(const TrainingJob& job, const Prediction& prediction);

/// A total order: by score, then instance, ranks, batch, larger micro-batch first.
bool better(const TrainingJob& job, const RankedPlan& a, const RankedPlan& b);

/// Of plans that fit: the nearest misses. See SearchResult.
struct NearestMisses {
  std::optional<RankedPlan> by_budget, by_deadline, by_confidence;
};
NearestMisses nearest_misses(const TrainingJob& job, const std::vector<RankedPlan>& plans);

}  // namespace pluto
