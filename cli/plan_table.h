#pragma once
// How plans and predictions look on a screen and in --json.

#include <string>
#include <vector>

#include "base/document.h"
#include "planner/planner.h"

namespace pluto {

/// "data 8 tensor 4 pipeline 2, shard 1, recompute full": what is not 1, none or off.
std::string layout_text(const Plan& plan);
Value layout_value(const Plan& plan);
/// "2h05m (2h21m)": median and p90.
std::string with_p90(const Interval<Seconds>& interval);
std::string with_p90(const Interval<Dollars>& interval);
/// "aws:p4d.24xlarge", "aws:p4d.24xlarge spot", "aws:p4d.24xlarge spot to 70 %": the instance type
/// and its market; the part of the deadline after which the run moves to on-demand nodes.
std::string place_text(const Plan& plan);
/// "all_reduce 12 + sufficient_factor 3": methods with their parameter counts; "none" for one rank.
std::string sync_summary(const Plan& plan);
/// "step M, comm I": evidence letters of the terms that matter.
std::string evidence_summary(const Prediction& prediction);

/// Heading and rows for format_table(); the first row is marked with ">", the baseline row (if any)
/// is last.
std::vector<std::vector<std::string>> plan_rows(const std::vector<RankedPlan>& ranked,
                                                const RankedPlan* baseline);
/// Terms of one prediction as a table: what, p10, p50, p90 or time, share, evidence.
std::vector<std::vector<std::string>> term_rows(const Prediction& prediction);
/// Terms of the run as a table: what, time, price, spread, evidence, and their sum.
std::vector<std::vector<std::string>> run_rows(const Prediction& prediction);

Value plan_value(const RankedPlan& plan);

}  // namespace pluto
