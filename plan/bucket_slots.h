#pragma once
// Where the parameters of a lowered plan stand in their buckets, and how a bucket is cut.

#include <optional>
#include <vector>

#include "plan/plan.h"
#include "plan/step_program.h"

namespace pluto {

/// Of TrainingGraph::trained, in that order. Precondition: `training` is what lower() made of the
/// plan, so trained follows the plan's buckets. Empty without buckets. Parameters that the data
/// ranks share out are in no bucket and come last in trained: there are fewer slots than those.
std::vector<BucketSlot> bucket_slots(const TrainingGraph& training, const Plan& plan);

/// The bucket a node belongs to: of communication, pack and unpack by their attributes.
std::optional<std::size_t> bucket_of(const Op& op);

/// How many ranks own a shard of what the bucket sends: its servers, or all ranks.
int owners_of(const Plan& plan, std::size_t bucket);

/// Position in Plan::servers of the one that multiplies the factors of a factor_server bucket:
/// buckets take turns.
int factor_server(const Plan& plan, std::size_t bucket);

}  // namespace pluto
