#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "plan/job.h"
#include "plan/words.h"

namespace pluto {
namespace {

constexpr std::array<Word<ScheduleKind>, 4> kSchedules = {{{ScheduleKind::kConstant, "constant"},
                                                           {ScheduleKind::kCosine, "cosine"},
                                                           {ScheduleKind::kLinear, "linear"},
                                                           {ScheduleKind::kStep, "step"}}};

constexpr std::array<Word<RateRule>, 6> kRateRules = {{{RateRule::kAuto, "auto"},
                                                       {RateRule::kLinear, "linear"},
                                                       {RateRule::kGain, "gain"},
                                                       {RateRule::kSquareRoot, "square_root"},
                                                       {RateRule::kLars, "lars"},
                                                       {RateRule::kLamb, "lamb"}}};

}  // namespace

const char* to_text(RateRule rule) { return word_of(kRateRules, rule); }

Result<RateRule> parse_rate_rule(std::string_view text) {
  return parse_word(kRateRules, "rule", text);
}

const char* to_text(ScheduleKind kind) { return word_of(kSchedules, kind); }

Result<ScheduleKind> parse_schedule_kind(std::string_view text) {
  return parse_word(kSchedules, "schedule", text);
}

double learning_rate_at(const LearningRate& schedule, std::int64_t samples_seen,
                        std::int64_t total_samples) {
  const std::int64_t warmup = schedule.warmup_samples;
  const bool warming = samples_seen < warmup;
  const double ramp =
      warming ? static_cast<double>(samples_seen) / static_cast<double>(warmup) : 1.0;
  if (schedule.schedule == ScheduleKind::kStep) {
    const auto passed =
        std::upper_bound(schedule.boundaries.begin(), schedule.boundaries.end(), samples_seen);
    return ramp * schedule.rates[static_cast<std::size_t>(passed - schedule.boundaries.begin())];
  }
  if (warming || schedule.schedule == ScheduleKind::kConstant) return ramp * schedule.peak;

  // A run that ends within its warm-up has no decay to be part of the way through.
  const double length = static_cast<double>(total_samples - warmup);
  const double x =
      length > 0 ? std::min(1.0, static_cast<double>(samples_seen - warmup) / length) : 1.0;
  if (schedule.schedule == ScheduleKind::kLinear) return schedule.peak * (1 - x);
  return schedule.peak * (1 + std::cos(std::numbers::pi * x)) / 2;
}

LearningRate scaled(LearningRate schedule, double factor) {
  schedule.peak *= factor;
  for (double& rate : schedule.rates) rate *= factor;
  return schedule;
}

}  // namespace pluto
