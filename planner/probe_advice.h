#pragma once
// Whether to measure before the run, and why.

#include <optional>
#include <string>

#include "planner/planner.h"

namespace pluto {

/// How long a probe measures. Source: assumed; a few hundred steps and the operators of one job.
inline constexpr Seconds kProbeDuration{600};

struct ProbeAdvice {
  bool worth = false;    ///< value > price
  std::string instance;  ///< to be measured
  Dollars value, price;  ///< what deciding afterwards saves at the mean; what the probe costs
  std::string against;   ///< the plan that the first might give way to
};

/// Of the ranked plans the one whose comparison with the first a probe of kProbeDuration could
/// change with most profit (probe_value.h). Nullopt: fewer than two plans meet the limits.
/// Test: planner/probe_advice_test.cc.
std::optional<ProbeAdvice> probe_advice(const TrainingJob& job, const SearchResult& result);

/// "a probe is worth it: 10 min of aws:p3.2xlarge cost $0.51, deciding afterwards is expected to
/// save $4.10"; or why it is not.
std::string probe_sentence(const ProbeAdvice& advice);

}  // namespace pluto
