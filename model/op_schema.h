#pragma once
// One schema per op kind: shape rule, work, gradient rule, aliasing. docs/operators.md has the
// operand table.

#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "model/graph.h"
#include "model/op.h"

namespace pluto {

/// What an op instance does, whatever executes it. Counts, not times.
/// Flops: one multiply-add is two. Bytes: each operand read once, each result written once
/// (compulsory traffic).
struct OpWork {
  Flops flops;
  Bytes read;
  Bytes written;
};

/// Gradient rule of one op: given the gradients of its outputs, appends nodes to `builder` and
/// returns the gradients of its inputs (nullopt: not differentiable or not wanted). `builder`
/// continues the forward graph, so forward ids are valid in it. `output_gradients[i]` is nullopt
/// when nothing downstream used output i. `wanted[i]`: input i needs a gradient. The first output
/// of a loss has no incoming gradient: its rule starts the chain, so call it for the model's loss
/// only. Nodes are "<op>.backward", "<op>.backward_weight", "<op>.backward_data"; weight gradients
/// come first. The gradient of a parameter read by one operand of the base graph is named
/// "<parameter>.grad" with role gradient. Of a parameter read more often (tied weights) each rule
/// returns one partial gradient, an activation without a batch axis under the default name: the
/// caller adds them. A returned gradient may be an output gradient itself (add, position_add).
/// Errors: kUnsupported, naming the node, when the gradient arrives at an output that only backward
/// nodes may read.
using GradientRule = Result<std::vector<std::optional<TensorId>>> (*)(
    const Op& op, std::span<const std::optional<TensorId>> output_gradients,
    const std::vector<bool>& wanted, GraphBuilder& builder);

struct OpSchema {
  OpKind kind;
  /// Types of the outputs of the forward pass. Errors: kInvalidInput saying which operand has which
  /// wrong shape.
  Result<std::vector<TensorType>> (*infer)(const OpAttrs& attrs,
                                           std::span<const TensorType> inputs);
  /// Work of any pass, from the types of its operands at `micro_batch`. Never fails: operands that
  /// are not there count as scalars. Updates count as tensors like input 0 (or like the
  /// parameters); all_reduce and the server kinds, which have updates only, have no work here:
  /// their payload is the lowering's.
  OpWork (*work)(OpPass pass, const OpAttrs& attrs, std::span<const TensorType> inputs,
                 std::span<const TensorType> outputs, std::int64_t micro_batch);
  GradientRule gradient;  ///< nullptr: the kind has no gradient (updates, communication)
  /// Output 0 may share memory with input 0. kSameBytes: it always has the same bytes and nothing
  /// is computed. kMayOverwrite: a node with one output whose type is that of input 0 may write it
  /// over input 0 (see may_overwrite).
  enum class Alias { kNone, kMayOverwrite, kSameBytes } alias = Alias::kNone;
};

/// Never fails: every kind has a schema.
const OpSchema& schema_of(OpKind kind);

/// The tensors an op of this kind rewrites: how many and of which shape. Errors: kInvalidInput.
Result<void> check_updates(OpKind kind, OpPass pass, const OpAttrs& attrs,
                           std::span<const TensorType> inputs, std::span<const TensorType> updates);
/// Whether the kernel of this node must accept output 0 at the address of input 0.
bool may_overwrite(const Graph& graph, const Op& op);

/// Work of one node of a graph at a micro-batch (gathered operands count with their
/// batch_multiple).
OpWork op_work(const Graph& graph, const Op& op, std::int64_t micro_batch);

/// The minimum that determines an op's cost on a device; the key of the profile database.
struct OpSignature {
  OpKind kind = OpKind::kRelu;
  OpPass pass = OpPass::kForward;
  OpAttrs attrs;
  std::vector<TensorType> inputs;
  std::vector<TensorType> outputs;
  std::int64_t micro_batch = 1;
  bool operator==(const OpSignature&) const = default;
};
OpSignature signature_of(const Graph& graph, const Op& op, std::int64_t micro_batch);
OpWork op_work(const OpSignature& signature);
/// The attributes with what only tells equal ops apart (the stream of dropout, the bucket of
/// communication) set to 0, so that the layers of a model share their measurements.
OpAttrs cost_attrs(OpAttrs attrs);
/// One line, stable: the database key. With cost_attrs, so what parse_signature reads back is the
/// signature under its cost_attrs. For example
/// "linear backward_weight [out_features=2 bias=0] (2:f32:b1, 3:f32:b1) -> (2x3:f32:b0) @32".
std::string to_text(const OpSignature& signature);
/// Reverse of to_text. Errors: kInvalidInput saying which part cannot be read or contradicts the
/// shape rule.
Result<OpSignature> parse_signature(std::string_view text);
/// The signature with its micro-batch left out: same op at any batch. For interpolation.
std::string family_text(const OpSignature& signature);

}  // namespace pluto
