#pragma once
// What a communication node sends, and between whom.

#include "model/graph.h"
#include "plan/plan.h"
#include "plan/step_program.h"

namespace pluto {

/// Whether the node crosses links: nodes of buckets, and of groups but for those that work on their
/// own part.
bool is_communication(const Op& op);
/// The task of a whole node. Precondition: is_communication(op), and its bucket is one of the
/// plan's. Servers with nodes of their own: what goes to them is kUp, what comes back kDown; all
/// else takes both directions.
CollectiveTask collective_task(const Graph& graph, const Op& op, const Plan& plan, int micro_index);
/// Its share: `part` of a slice of `elements`.
CollectiveTask part_of(CollectiveTask whole, const ElementRange& part, std::int64_t elements);

}  // namespace pluto
