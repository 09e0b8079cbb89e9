#pragma once
// What a data-parallel plan on GPUs can do beyond its choice of sync methods.

#include <vector>

#include "model/graph.h"
#include "plan/plan.h"

namespace pluto {

/// The same plan in less memory: ZeRO stages 1 to 3 where there are ranks to share with, recompute
/// selective and full, both. Without buckets. Empty for places that are no GPUs: the bundled
/// executor keeps everything.
std::vector<Plan> smaller_plans(const Plan& plan);

/// A linear layer with fewer weights is not worth splitting: its batch would travel instead.
inline constexpr std::int64_t kLargeLayer = std::int64_t{1} << 20;

/// The same plan with large linear layers split over the ranks (below), which keeps a part of their
/// weights, with every way to recompute. Without buckets. Empty where nothing can be split.
std::vector<Plan> split_plans(const Plan& plan, const ModelGraph& model);

/// The same plan with less to communicate: large linear layers split over the ranks (hybrid
/// parallelism: Krizhevsky 2014), gradients in 16 bits on the wire where products are, ZeRO 1.
/// Without buckets. Empty for one rank and for places that are no GPUs.
std::vector<Plan> quieter_plans(const Plan& plan, const ModelGraph& model);

}  // namespace pluto
