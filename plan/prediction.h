#pragma once
// What is expected: times, memory, price, each with spread and evidence.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/document.h"
#include "base/units.h"
#include "plan/evidence.h"
#include "plan/memory_plan.h"

namespace pluto {

/// A quantity as three quantiles.
template <class Q>
struct Interval {
  Q p10, p50, p90;
  bool operator==(const Interval&) const = default;
};

/// One part of the step: `time` adds up to the step; `evidence` of the weakest source that carries
/// at least 5 % of it.
struct Term {
  /// Simulated: "compute", "exposed_comm", "exposed_input", "update"; with pipeline stages
  /// "bubble". Closed form of transformers: "compute", "tensor_comm", "pipeline_comm",
  /// "data_comm", "bubble", "update", "fixed".
  std::string name;
  Seconds time;
  double relative_spread = 0;
  Evidence evidence = Evidence::kAssumed;
};

/// One part of the run. Times add up to time_to_target.p50, prices to price.p50.
struct RunTerm {
  /// "training"; of rented nodes "start_up", "billing" (what rounding adds), "storage" (of
  /// checkpoints); "evaluation" and "checkpoint" where the plan has them; on spot nodes
  /// "interruptions", which has what restarts, lost work and a move to on-demand nodes add.
  std::string name;
  Seconds time;
  Dollars price;
  double relative_spread = 0;
  Evidence evidence = Evidence::kAssumed;
};

struct Prediction {
  Interval<Seconds> step_time;
  std::vector<Term> terms;  ///< in the order above; sum is step_time.p50
  MemoryBreakdown memory;   ///< per rank
  Bytes process_overhead;   ///< code, libraries, communicator: resident besides arena and data
  std::int64_t steps = 0;
  Interval<Seconds> time_to_target;
  Interval<Dollars> price;
  std::vector<RunTerm> run_terms;  ///< empty in predictions made before there were any
  std::optional<double> p_deadline, p_budget, p_both;  ///< unset when the job has no such limit
  std::int64_t watermark = 0;  ///< last measurement id the costs came from; 0: none
  std::vector<std::string> assumptions;
};

/// JSON form, units in the keys ("step_s", "time_s", "price_usd", "memory_bytes"): part of --json,
/// of run reports and of the database.
Value to_value(const Prediction& prediction);
/// Strict. Errors: kInvalidInput with the place of the field.
Result<Prediction> prediction_from_value(const Value& value, const std::string& source);

}  // namespace pluto
