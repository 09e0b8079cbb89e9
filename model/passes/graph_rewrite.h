#pragma once
// A graph taken apart: nodes and tensors change, move and join by their old ids, and are put
// together again.

#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/training_graph.h"

namespace pluto {

/// A rebuilt graph and where the pieces went: new ids by old id, invalid for what was left out.
struct RewrittenGraph {
  Graph graph;
  std::vector<TensorId> tensors;
  std::vector<OpId> ops;
};

/// Starts as a copy of a graph. Ids handed out continue those of the source, so a pass works in one
/// numbering until build().
class GraphRewrite {
 public:
  explicit GraphRewrite(const Graph& source);

  /// Wiring, attributes and names may be changed at will; build() validates.
  Op& op(OpId id) { return ops_[id.index()]; }
  Tensor& tensor(TensorId id) { return tensors_[id.index()]; }
  std::size_t ops() const { return ops_.size(); }

  /// A tensor without a producer.
  TensorId add_tensor(std::string name, TensorRole role, TensorType type, Init init = {});
  /// A new node; its outputs are activations of the given types, named as GraphBuilder names them.
  OpId add_op(std::string name, OpKind kind, OpPass pass, OpAttrs attrs,
              std::vector<TensorId> inputs, std::vector<TensorType> output_types,
              std::vector<TensorId> updates = {});

  /// Leaves out the tensor, which no node that stays may read or update.
  void drop(TensorId id);

  /// The graph whose nodes are `order`; nodes not in it are dropped with their outputs, tensors
  /// without a producer stay. Equal order, equal ids. Errors: those of GraphBuilder; kInternal when
  /// a node comes before its operand.
  Result<RewrittenGraph> build(std::span<const OpId> order) const;

 private:
  std::vector<Tensor> tensors_;
  std::vector<Op> ops_;
  std::vector<TensorId> dropped_;
};

/// `model` over its rewritten graph. What it names must have survived.
ModelGraph carry_over(const ModelGraph& model, RewrittenGraph rewritten);

/// `training` over the rewritten graph. `trained` and `phase` replace its own, in the numbering of
/// the rewrite; its graph is not read. Every id that is carried over must have survived,
/// but for origins; the origin of a node the pass added is invalid.
TrainingGraph carry_over(const TrainingGraph& training, std::vector<TrainedParameter> trained,
                         const std::vector<OpPhase>& phase, RewrittenGraph rewritten);

}  // namespace pluto
