#pragma once
// What a communication node sends, and between whom.

#include "model/graph.h"
#include "plan/plan.h"
#include "plan/step_program.h"

namespace pluto {

bool is_communication(const Op& op);
/// Precondition: is_communication(op), and its bucket is one of the plan's.
CollectiveTask collective_task(const Graph& graph, const Op& op, const Plan& plan, int micro_index);

}  // namespace pluto
