#pragma once
// The immutable graph: tensors, ops in topological order, and the builder that validates.
// Shapes are per sample and hold no costs; batch is an argument of whoever asks.

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/strong_id.h"
#include "model/op.h"
#include "model/tensor.h"

namespace pluto {

using OpId = StrongId<struct OpTag>;
using TensorId = StrongId<struct TensorTag>;

/// What a tensor is for. Persistent roles (parameter, gradient, optimizer_state, buffer) live from
/// step to step or in flat blocks; the others live in the arena.
enum class TensorRole : std::uint8_t {
  kInput,           ///< data of the batch: images, token ids, labels
  kActivation,      ///< made by an op, forward or backward
  kParameter,       ///< trained
  kBuffer,          ///< kept but not trained: running mean and variance
  kGradient,        ///< of a parameter, summed over the samples of a rank
  kOptimizerState,  ///< momentum, second moment
};
const char* to_text(TensorRole role);
bool is_persistent(TensorRole role);

/// How a parameter or buffer starts: zeros, ones, or normal with this standard deviation.
struct Init {
  enum class Kind : std::uint8_t { kZeros, kOnes, kNormal } kind = Kind::kZeros;
  double stddev = 0;
  bool operator==(const Init&) const = default;
};

struct Tensor {
  TensorId id;
  std::string name;  ///< unique in its graph
  TensorRole role = TensorRole::kActivation;
  TensorType type;
  Init init;                     ///< of parameters and buffers
  std::optional<OpId> producer;  ///< the op that lists it in outputs
};

struct Op {
  OpId id;
  std::string name;  ///< unique in its graph
  OpKind kind = OpKind::kRelu;
  OpPass pass = OpPass::kForward;
  OpAttrs attrs;
  std::vector<TensorId> inputs;
  std::vector<TensorId> outputs;
  std::vector<TensorId> updates;  ///< persistent, rewritten in place (weights, running statistics)
};

/// A validated graph. Immutable; ops are in topological order (id order); every input is an earlier
/// output or has no producer. Thread-safe.
class Graph {
 public:
  const std::vector<Tensor>& tensors() const { return tensors_; }
  const std::vector<Op>& ops() const { return ops_; }
  const Tensor& tensor(TensorId id) const { return tensors_[id.index()]; }
  const Op& op(OpId id) const { return ops_[id.index()]; }
  std::optional<TensorId> find_tensor(const std::string& name) const;
  std::vector<TensorId> with_role(TensorRole role) const;  ///< in id order
  /// Ops that list the tensor in inputs, in order, each once.
  const std::vector<OpId>& consumers(TensorId id) const { return consumers_[id.index()]; }
  /// Stable across processes and versions: names, kinds, attributes, types, wiring. Computed when
  /// first asked for; copies share it.
  std::uint64_t fingerprint() const;

 private:
  friend class GraphBuilder;
  std::vector<Tensor> tensors_;
  std::vector<Op> ops_;
  std::vector<std::vector<OpId>> consumers_;             ///< by TensorId
  std::unordered_map<std::string, TensorId> tensor_of_;  ///< by name
  struct LazyFingerprint {
    std::once_flag once;
    std::uint64_t value = 0;
  };
  std::shared_ptr<LazyFingerprint> fingerprint_;  ///< null: of an empty graph
};

/// Builds a Graph op by op. Output types come from the op's schema (model/op_schema.h). The first
/// failure is kept and returned by build(), naming the node ("node conv1 (conv2d): ..."); ids
/// handed out after it are placeholders, which every call accepts, so model code needs no check per
/// call.
class GraphBuilder {
 public:
  GraphBuilder() = default;
  /// Continues from a copy of `base`; its ids stay valid.
  explicit GraphBuilder(const Graph& base);

  /// One per sample (batch_multiple 1).
  TensorId input(const std::string& name, Shape shape, DType dtype = DType::kF32);
  TensorId parameter(const std::string& name, Shape shape, Init init, DType dtype = DType::kF32);
  /// Any other tensor without a producer: buffers, gradient accumulators, optimizer state.
  TensorId tensor(const std::string& name, TensorRole role, TensorType type, Init init = {});

  /// Appends an op and returns its outputs ("name", or "name:1", "name:2" ... for further outputs),
  /// activations all. `pass` is kForward; updates and communication are built by the same call,
  /// backward nodes by op_with_types(). After a failure: at least eight placeholders, and as many
  /// as a split has sizes.
  std::vector<TensorId> op(const std::string& name, OpKind kind, OpPass pass, OpAttrs attrs,
                           std::vector<TensorId> inputs, std::vector<TensorId> updates = {});
  /// As op(), with the types and roles of the outputs given by the caller: the shape rule of
  /// backward nodes (a gradient has the type of what it is the gradient of). The types of a forward
  /// node must still be those of its schema. `output_names` overrides the default names; an empty
  /// one keeps the default.
  std::vector<TensorId> op_with_types(const std::string& name, OpKind kind, OpPass pass,
                                      OpAttrs attrs, std::vector<TensorId> inputs,
                                      std::vector<TensorType> output_types,
                                      std::vector<TensorRole> output_roles,
                                      std::vector<TensorId> updates = {},
                                      const std::vector<std::string>& output_names = {});
  /// The first output of a forward op: the common case of model code.
  TensorId forward(const std::string& name, OpKind kind, OpAttrs attrs,
                   std::vector<TensorId> inputs);

  /// Type of a tensor so far. Of a placeholder: a scalar.
  const TensorType& type(TensorId id) const { return tensor_at(id).type; }
  /// Of a placeholder: a nameless tensor. Valid until the next tensor is added.
  const Tensor& tensor_at(TensorId id) const;
  std::size_t ops() const { return graph_.ops_.size(); }  ///< so far
  /// How many operands of the base graph are this tensor; 0 for tensors added since.
  std::size_t base_uses(TensorId id) const;
  bool failed() const { return error_.has_value(); }
  /// Records a failure of the model code itself.
  void fail(Error error);

  /// Errors: the first recorded failure.
  Result<Graph> build() &&;

 private:
  TensorId add_tensor(Tensor tensor);
  /// Name, attributes and ids; the shapes are the schema's part.
  Result<void> check_operands(const Op& op) const;
  std::vector<TensorType> types(const std::vector<TensorId>& ids) const;
  std::vector<TensorId> append(Op op, const std::vector<TensorType>& output_types,
                               const std::vector<TensorRole>& output_roles,
                               const std::vector<std::string>& output_names);
  std::vector<TensorId> refuse(const Op& op, const Error& error);
  Graph graph_;
  std::vector<std::size_t> base_uses_;
  std::unordered_set<std::string> op_names_;
  std::optional<Error> error_;
};

/// A parameter of which each rank of a group keeps a part: of every piece of `axis` (in this order)
/// rank r of `parts` has the r-th of `parts` equal lengths, and joins them. Fused queries, keys and
/// values are three pieces.
struct ParameterShard {
  std::string parameter;
  RankGroup group = RankGroup::kTensor;
  std::int64_t axis = 0, parts = 1;
  std::vector<std::int64_t> pieces;  ///< lengths along the axis of the whole parameter
  bool operator==(const ParameterShard&) const = default;
};

/// What is trained, before any training op exists.
struct ModelGraph {
  std::string name;
  Graph graph;
  std::vector<TensorId> inputs;  ///< features, in the order the data source delivers them
  TensorId labels;  ///< invalid when the model has no loss (an imported inference graph)
  TensorId logits;  ///< the model's answer, for evaluation
  TensorId loss;    ///< mean over the micro-batch; invalid when there is none
  std::vector<ParameterShard> shards = {};  ///< of the model of one rank: what it has a part of
};

/// Number of trained elements.
std::int64_t parameter_count(const Graph& graph);

}  // namespace pluto
