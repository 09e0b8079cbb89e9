#pragma once
// How a model is spread and synchronised: the parts of a plan that name a strategy of the field.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/passes/passes.h"
#include "model/passes/recompute.h"
#include "model/tensor.h"

namespace pluto {

/// What the matrix products run in. kTf32: f32 rounded to TF32 on the way into them; kFp16, kBf16:
/// mixed precision, f32 master weights; kFp8: products of 8-bit numbers, the rest as kBf16.
enum class TrainPrecision : std::uint8_t { kF32, kTf32, kFp16, kBf16, kFp8 };
const char* to_text(TrainPrecision precision);  ///< "fp32", "tf32", "fp16", "bf16", "fp8"
Result<TrainPrecision> parse_train_precision(std::string_view text);
/// Bytes of an activation: 4 for fp32 and tf32, else 2.
std::int64_t activation_bytes(TrainPrecision precision);

/// How attention runs: as separate operators that write the scores, or fused without them in the
/// manner of Dao et al. 2022, or of Dao 2023 (and cuDNN), which is twice as fast.
enum class AttentionKernel : std::uint8_t { kScores, kFlash, kFlash2 };
const char* to_text(AttentionKernel kernel);  ///< "scores", "flash", "flash2"
Result<AttentionKernel> parse_attention_kernel(std::string_view text);

/// How an all_reduce moves its bytes; costmodel/collective_time.h has the formulas. Other kinds
/// have one way.
enum class CollectiveAlgorithm : std::uint8_t {
  kRing,
  kTree,               ///< double binary tree, pipelined
  kHalvingDoubling,    ///< recursive halving, then doubling (Rabenseifner)
  kRecursiveDoubling,  ///< the whole buffer at every distance
  kHierarchical,       ///< reduce_scatter inside nodes, all_reduce across them, all_gather inside
};
const char* to_text(CollectiveAlgorithm algorithm);  ///< "ring", ..., "hierarchical"
Result<CollectiveAlgorithm> parse_collective_algorithm(std::string_view text);

/// Degrees of parallelism; their product is the number of ranks. Ranks are numbered tensor first,
/// then context, data, pipeline (Megatron-LM's order), so that tensor groups share a node.
struct Layout {
  int data = 1, tensor = 1, pipeline = 1;
  int context = 1;  ///< the sequence of a sample is cut in so many parts
  int ranks() const { return data * tensor * pipeline * context; }
  bool operator==(const Layout&) const = default;
};

/// A bucket by parameter names (stable across processes), in gradient order.
struct BucketPlan {
  SyncMethod method = SyncMethod::kAllReduce;
  std::vector<std::string> parameters;
  CollectiveAlgorithm algorithm = CollectiveAlgorithm::kRing;  ///< of an all_reduce
  DType wire = DType::kF32;  ///< element type of gradients on the wire: f32, f16 (scaled) or bf16
  int chunks = 1;            ///< messages the bucket is cut into
  bool operator==(const BucketPlan&) const = default;
};

/// Pipeline stages by the forward nodes that begin them.
struct PipelinePlan {
  /// First node (in graph order, after the passes before it) of chunk 1, 2, ...; pipeline x
  /// interleave - 1 names. Chunk c runs on stage c mod pipeline. Empty: cut where work is even.
  std::vector<std::string> cuts;
  int interleave = 1;  ///< chunks per stage
  bool operator==(const PipelinePlan&) const = default;
};

/// Model averaging: ranks update alone and average their parameters every `steps` steps.
struct LocalSteps {
  int steps = 1;              ///< H; 1: gradients are synchronised in every step
  double block_momentum = 0;  ///< of the averaged update (Chen and Huo 2016); 0: plain average
  /// Post-local (Lin et al. 2020): gradients are synchronised in every step until so many samples
  /// were seen.
  std::int64_t synchronous_samples = 0;
  bool operator==(const LocalSteps&) const = default;
};

}  // namespace pluto
