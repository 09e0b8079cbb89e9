#pragma once
// run.json: a plan, what was predicted for it, and what was observed; and its comparison term by
// term.

#include <optional>
#include <string>
#include <vector>

#include "base/document.h"
#include "executor/run.h"
#include "plan/plan.h"
#include "plan/prediction.h"

namespace pluto {

/// The part of a RunReport that is kept: everything but the parameters.
Value to_value(const RunReport& report);
Result<RunReport> report_from_value(const Value& value, const std::string& source);

struct RunDocument {
  static constexpr int kSchema = 1;
  Plan plan;
  Prediction prediction;
  Timeline predicted_timeline;
  RunReport report;
  std::string started_at, host;
};
std::string to_json(const RunDocument& run);
Result<RunDocument> run_from_json(std::string_view text, const std::string& source);

/// One line of predicted against measured.
struct Comparison {
  std::string term;
  std::string unit;  ///< "s", "bytes", "usd"
  double predicted = 0, measured = 0;
  Evidence evidence = Evidence::kAssumed;
  std::optional<bool>
      inside;  ///< whether the measured value fell between p10 and p90, where there is an interval
  /// (predicted - measured) / measured; nullopt when nothing was measured.
  std::optional<double> error() const;
};
std::vector<Comparison> compare(const RunDocument& run);

}  // namespace pluto
