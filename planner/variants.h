#pragma once
// What a plan on GPUs can do beyond data parallelism with everything on every rank.

#include <vector>

#include "base/result.h"
#include "costmodel/cost_source.h"
#include "model/graph.h"
#include "plan/plan.h"

namespace pluto {

/// The same ranks and batch in less memory: ZeRO stages 1 to 3 where there are ranks to share with,
/// recompute selective and full, both; all large linear layers split over the ranks, with and
/// without recompute; pipelines
/// of 2, 4 .. stages that divide the ranks, with and without recompute, even cuts and at least as
/// many micro-batches as stages. Without buckets. Empty for places that are no GPUs: the bundled
/// executor keeps everything.
std::vector<Plan> smaller_plans(const Plan& plan, const ModelGraph& model);

/// The same ranks and batch with less to exchange: linear layers split over the ranks (hybrid
/// parallelism: Krizhevsky 2014), those that split_layers() chooses and all large ones, and ZeRO 1.
/// Without buckets. Empty for one rank and for places that are no GPUs. Errors: those of
/// split_layers().
Result<std::vector<Plan>> quieter_plans(const Plan& plan, const ModelGraph& model,
                                        bool factors_allowed, const CostSource& costs);

}  // namespace pluto
