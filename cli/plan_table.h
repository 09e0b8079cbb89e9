#pragma once
// How plans and predictions look on a screen and in --json.

#include <string>
#include <vector>

#include "base/document.h"
#include "cli/terminal.h"
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
/// "on demand", "spot", "spot to 70 %"; "own" for machines that are not rented.
std::string market_text(const Plan& plan);
/// "all_reduce 12 + sufficient_factor 3": methods with their parameter counts; "none" for one rank.
std::string sync_summary(const Plan& plan);
/// "step M, comm I": evidence letters of the terms that matter.
std::string evidence_summary(const Prediction& prediction);

/// Heading and rows for format_table(); the first plan is marked with ">", the baseline row (if
/// any) is last: rank, instance x nodes, market, layout (where one is not plain data parallelism),
/// batch, learning rate, sync, step, time and price as p50 (p90), memory, probability of keeping
/// the limits, evidence. As wide as that is for `width` 0. Else at most so wide where it can be:
/// without step and memory, then with short cells (batch without its factors, sync without counts,
/// the weakest evidence), then as two tables, where it runs and how.
std::vector<std::vector<std::vector<std::string>>> plan_tables(
    const std::vector<RankedPlan>& ranked, const RankedPlan* baseline, int width);
/// Each of them, as format_table() has it.
void say_tables(Terminal& terminal,
                const std::vector<std::vector<std::vector<std::string>>>& tables);
/// Terms of one prediction as a table: what, p10, p50, p90 or time, share, evidence.
std::vector<std::vector<std::string>> term_rows(const Prediction& prediction);
/// Terms of the run as a table: what, time, price, spread, evidence, and their sum.
std::vector<std::vector<std::string>> run_rows(const Prediction& prediction);

Value plan_value(const RankedPlan& plan);
/// A list of texts.
Value sentences_value(const std::vector<std::string>& sentences);

}  // namespace pluto
