#pragma once
// Graph -> graph transforms. Each keeps loss and gradients equal to the untransformed graph on the
// reference backend.

#include <span>
#include <vector>

#include "base/result.h"
#include "model/training_graph.h"

namespace pluto {

/// Merges attention of single nodes (passes/fuse_attention.h), and batch_norm + relu and add + relu
/// where nobody else reads what is between. The last tensor of each keeps its name; logits and loss
/// stay. Source: the streaming savings of oneDNN's and cuDNN's fused normalisation.
Result<ModelGraph> fuse(const ModelGraph& model);

/// How the gradient of one group of parameters becomes the same on every rank.
enum class SyncMethod : std::uint8_t {
  kNone,              ///< one rank
  kAllReduce,         ///< ring all_reduce of the bucket's slice
  kParameterServer,   ///< push to sharded servers, update there, pull
  kSufficientFactor,  ///< gather the factors of each linear layer, multiply late
  kFactorServer,  ///< factors to the server, which multiplies and updates; the matrix comes back
  kShard,         ///< reduce_scatter, update of the own shard, all_gather (ZeRO)
};
/// "none", "all_reduce", "parameter_server", "sufficient_factor", "factor_server", "shard"
const char* to_text(SyncMethod method);
Result<SyncMethod> parse_sync_method(std::string_view text);

/// Parameters synchronised together, in the order of TrainingGraph::trained.
struct Bucket {
  SyncMethod method = SyncMethod::kAllReduce;
  std::vector<TensorId> parameters;
  bool operator==(const Bucket&) const = default;
};

/// Inserts the communication nodes of `buckets` for `ranks` data-parallel ranks.
///
///   all_reduce          one all_reduce node (updates = the bucket's gradients, in place)
///   parameter_server    server_push (updates = gradients), the update nodes (each server its
///                       shard), server_pull (updates = parameters)
///   sufficient_factor   every linear backward_weight (dy, x) becomes factor_gather(dy),
///                       factor_gather(x), then backward_weight over batch_multiple = ranks, which
///                       yields the summed gradient of all ranks; there is no all_reduce. A factor
///                       that several layers share is gathered once.
///
/// Order: collectives follow what makes them ready, so they overlap with backward; then, bucket by
/// bucket, the late multiplications, the updates and the pull. `trained` of the result is ordered
/// by buckets, so that each is a slice of the flat blocks.
/// With ranks == 1 nothing is inserted, whatever the methods are; `buckets` may then be empty.
/// Errors: kInvalidInput when a parameter is in no bucket or two, a bucket is empty or not in
/// gradient order, kNone is asked for more than one rank, or sufficient_factor is asked for a
/// parameter that is not the weight or bias of exactly one linear layer, or for only one of the
/// two.
Result<TrainingGraph> insert_sync(const TrainingGraph& training, std::span<const Bucket> buckets,
                                  int ranks);

/// Gradient accumulation: per-micro-batch gradients become activations, added to the persistent
/// gradient by accumulate nodes (the first micro-batch of a step overwrites; docs/operators.md).
/// Identity when micro_batches is 1. Apply before insert_sync.
Result<TrainingGraph> accumulate_gradients(const TrainingGraph& training, int micro_batches);

/// True when the parameter can use sufficient factors: weight or bias of exactly one linear op.
bool has_sufficient_factors(const TrainingGraph& training, TensorId parameter);

}  // namespace pluto
