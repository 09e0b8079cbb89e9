#pragma once
// Ways to run a transformer's plan that a Plan has no words for and our lowering cannot run: priced
// for comparisons with planners that search them, and for what-if; never chosen for a plan.

#include <cstdint>
#include <optional>

#include "base/result.h"
#include "costmodel/transformer.h"
#include "costmodel/transformer_memory.h"

namespace pluto {

/// How tensor-parallel ranks exchange activations.
enum class TensorExchange : std::uint8_t {
  kAllReduce,       ///< sums are on every rank; each sends all of a stage's boundary
  kScatteredSends,  ///< the sums of a boundary are scattered before the send, gathered behind it
  kSequence,        ///< always scattered, gathered where needed: plan.sequence_parallel
};

/// Whether collectives run in pieces under the products that need or make their bytes.
enum class TensorOverlap : std::uint8_t {
  kNone,
  kRing,  ///< a rank begins with the piece it has
  kPipe,  ///< the first piece is waited for
};

struct TransformerExecution {
  TensorExchange exchange = TensorExchange::kAllReduce;
  TensorOverlap overlap = TensorOverlap::kNone;
  /// kSequence: what forward gathered is gathered again in backward and not kept in between.
  bool gather_again = true;
  bool offload_weights = false, offload_activations = false, offload_optimizer = false;
  /// Levels whose groups stay inside a node: their ranks are numbered before all others'.
  bool tensor_inside = false, data_inside = false, pipeline_inside = false;
};

/// Host memory of one device, and its share of the link to it: full duplex.
struct HostMemory {
  Bytes capacity;
  BytesPerSecond bandwidth;
};

/// Strides of ranks numbered by the levels inside a node, then by the others, each in the order
/// tensor, data, pipeline. Nullopt: the levels inside do not fill a node in whole parts.
/// Formula: product of the degrees inside divides the devices of a node.
/// Source: Isaev et al. 2023 (Calculon), whose networks have the same rule; our groups between
///   nodes still use the links inside for ranks that share a node, theirs do not.
/// Test: costmodel/transformer_execution_test.cc.
std::optional<RankStrides> strides_of(const TransformerPlan& plan,
                                      const TransformerExecution& execution, int devices);

/// Errors: those of check(shape, plan); kInvalidInput with the field: context above 1, stages of
/// unequal layers, offloading from stages of less than three layers, gathering kept or again
/// without sequence parallelism, recomputed activations offloaded, a plan whose sequence_parallel
/// is not what the exchange says.
Result<void> check(const TransformerShape& shape, const TransformerPlan& plan,
                   const TransformerExecution& execution);

/// A layer run that way.
/// Formula: A = all_reduce of a micro-batch's activations, half of it a gather or a scatter; T =
///   tensor. Forward 2 A, backward 2 A; kSequence in backward two halves seen, two under the
///   weight gradients (`overlap_slowdown` seen), gather_again two more of those. In pieces, a
///   collective N beside its product C: (T-1)/T (max(0, N - C) + overlap_slowdown min(N, C)), kPipe
///   N / T more. Boundary: kAllReduce n h elements, else n h / T; kScatteredSends + 2 gathers - A.
///   Offloading: forward at least max(weights, activations) / B, backward (weights + activations) /
///   B of host bandwidth B.
/// Source: Isaev et al. 2023 (Calculon), calculon/llm/llm.py and layers.py at caa4b11f8f; pieces:
///   Wang et al. 2023 (ASPLOS). Weights come while activations leave; in backward both come.
/// Valid for: pieces whose products are as efficient as whole ones. Ignores: memory bandwidth that
///   copies to the host take.
/// Test: costmodel/transformer_execution_test.cc.
TransformerLayerCost layer_cost(const TransformerShape& shape, const TransformerPlan& plan,
                                const TransformerExecution& execution, const RankStrides& strides,
                                const HostMemory& host, const ClusterSpec& cluster,
                                const TransformerCosts& costs);

/// A step of such layers.
/// Formula: as predict_transformer(); m micro-batches that are no multiple of p stages leave
///   (v - 1) (p - m mod p) chunks of the slowest stage unfilled; an update takes at least the
///   optimizer's bytes / B where they are offloaded (read and written at once).
/// Source: as above (bubbles); Ren et al. 2021 (ZeRO-Offload) keep the optimizer's state in the
///   host, here it is computed on the device.
/// Ignores: copies of the optimizer's state under backward. Test: as above.
TransformerStep predict_execution(const TransformerLayerCost& layer, const TransformerShape& shape,
                                  const TransformerPlan& plan,
                                  const TransformerExecution& execution, const RankStrides& strides,
                                  const HostMemory& host, const ClusterSpec& cluster,
                                  const TransformerCosts& costs);

/// Memory of the device and of its host, for the fullest stage of each.
struct ExecutionMemory {
  Bytes device;  ///< with what the framework holds, as TransformerMemory::reserved()
  Bytes host;
};
/// Formula: as stage_memory(); of what is offloaded the device keeps two layers (activations: two
///   layers of one micro-batch), the host all. Gathered inputs that are kept: 2 (1 - 1/T) n h
///   elements a layer. The token table and gradients stay.
/// Source: Calculon, as above. Test: as above. Precondition: check().
ExecutionMemory execution_memory(const TransformerShape& shape, const TransformerPlan& plan,
                                 const TransformerExecution& execution);

}  // namespace pluto
