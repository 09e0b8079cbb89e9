#pragma once
// Graph -> graph transforms. Each keeps loss and gradients equal to the untransformed graph on the
// reference backend.

#include <span>
#include <vector>

#include "base/result.h"
#include "model/training_graph.h"

namespace pluto {

/// Merges element-wise nodes into the node before them where nobody else reads what is between:
///
///   batch_norm + relu              one node
///   batch_norm + add + relu        one node, where the add stood; of two norms the later one
///   add + relu                     one node
///   conv2d, linear + relu, tanh, sigmoid, gelu, silu: one forward node. Backward keeps a node for
///                                  the function; gelu and silu keep what they were applied to.
///
/// The last tensor of each keeps its name; logits and loss stay. These are what training libraries
/// run as one kernel. A convolution is not merged with the batch norm behind it: the statistics of
/// the batch need all of its result first. Apply after the shard passes, which put communication
/// between a partial sum and its activation.
/// Source: cuDNN BN_ADD_ACTIVATION and convolution with bias and activation, cuBLASLt epilogues
/// RELU_AUX_BIAS and GELU_AUX_BIAS as XLA uses them, post-operations of oneDNN.
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
  DType wire = DType::kF32;  ///< f16 and bf16: packed for the way
  bool operator==(const Bucket&) const = default;
};

/// Inserts the communication nodes of `buckets` for `ranks` data-parallel ranks.
///
///   all_reduce          one all_reduce node (updates = the bucket's gradients, in place)
///   parameter_server    server_push (updates = gradients), the update nodes (each server its
///                       shard), server_pull (updates = parameters)
///   factor_server       every linear backward_weight (dy, x) becomes factor_push(dy),
///                       factor_push(x), then backward_weight over batch_multiple = ranks, which
///                       with the update nodes runs on the bucket's server; server_pull
///   shard               parameter_server with every rank a server, whatever `shard` says; from
///                       shard 2 on gradients are activations and reduce_scatter(gradients) adds
///                       its shard of their sum to "<gradient>.shard" in every micro-batch
///   sufficient_factor   every linear backward_weight (dy, x) becomes factor_gather(dy),
///                       factor_gather(x), then backward_weight over batch_multiple = ranks, which
///                       yields the summed gradient of all ranks; there is no all_reduce. A factor
///                       that several layers share is gathered once.
///
/// A bucket of 16 bits is packed before and unpacked behind every collective (pack, unpack nodes);
/// f16 gradients and factors times kWireScale. Parameters come back in 16 bits too: a rank keeps
/// the shard it owns as it is.
///
/// Order: collectives follow what makes them ready, so they overlap with backward; then, bucket by
/// bucket, the late multiplications, the updates and the pull. `trained` of the result is ordered
/// by buckets, so that each is a slice of the flat blocks.
/// Parameters that the data ranks share out (ModelGraph::shards) are in no bucket; they come last.
/// With ranks == 1 nothing is inserted, whatever the methods are; `buckets` may then be empty.
/// Errors: kInvalidInput when a parameter is in no bucket (a shared-out one in any) or in two, a
/// bucket is empty or not in gradient order, kNone is asked for more than one rank, or a factor
/// method is asked for a parameter that is not the weight or bias of exactly one linear layer, or
/// for only one of the two. kUnsupported for 16 bits on the wire of shard 2 and 3, and of factors
/// that are no f32.
Result<TrainingGraph> insert_sync(const TrainingGraph& training, std::span<const Bucket> buckets,
                                  int ranks, int shard = 0);
/// What f16 gradients are multiplied by on the wire, so that small ones do not vanish. A power of
/// two: no rounding. Source: Micikevicius et al. 2018, section 3.2 (8 to 32768; 1024 for bigLSTM).
inline constexpr double kWireScale = 1024;

/// ZeRO 3: forward and backward read the parameters of a bucket from the activations that a
/// parameter_gather node makes of all ranks' shards, before the first use of the bucket in forward
/// and again in backward; one bucket ahead, so the node stands before the first use of the bucket
/// before. `synchronized`: what insert_sync() made of the same buckets with shard 3.
Result<TrainingGraph> gather_parameters(const TrainingGraph& synchronized,
                                        std::span<const Bucket> buckets, int ranks);

/// Model averaging, in a phase of its own behind the updates (OpPhase::kAverage): an all_reduce per
/// bucket, in place on the parameters, then an average node per parameter. With block momentum m,
/// its states are "<parameter>.anchor" A and ".block_velocity" V: V = m V + (mean - A),
/// A = w = A + V. The gradients are not synchronised. Source: Chen and Huo 2016 (blockwise model
/// update filtering, block learning rate 1). Errors: kInvalidInput for buckets that are no
/// partition, kUnsupported for those that are no all_reduce of f32.
Result<TrainingGraph> average_parameters(const TrainingGraph& training,
                                         std::span<const Bucket> buckets, int ranks,
                                         double block_momentum);

/// Gradient accumulation: per-micro-batch gradients become activations, added to the persistent
/// gradient by accumulate nodes (the first micro-batch of a step overwrites; docs/operators.md).
/// Identity when micro_batches is 1. Apply before insert_sync.
Result<TrainingGraph> accumulate_gradients(const TrainingGraph& training, int micro_batches);

/// True when the parameter can use sufficient factors: weight or bias of exactly one linear op.
bool has_sufficient_factors(const TrainingGraph& training, TensorId parameter);

}  // namespace pluto
