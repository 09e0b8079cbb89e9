#pragma once
// Rebuilds a model node by node with some parameters cut and communication between. Private to
// model/passes.

#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/result.h"
#include "model/graph.h"
#include "model/passes/shard.h"

namespace pluto {

/// How a parameter is cut: see ParameterShard.
struct ParameterCut {
  std::int64_t axis = 0;
  std::vector<std::int64_t> pieces;
};
using ParameterCuts = std::unordered_map<TensorId, ParameterCut>;

/// Writes the model of one rank. Ids named `source` are of the model it was made for, all others of
/// the new one. Failures are those of GraphBuilder: kept, and returned by finish().
class ShardWriter {
 public:
  /// Places every tensor without a producer, those in `cuts` by their parts. Precondition: `ranks`
  /// divide the pieces.
  ShardWriter(const ModelGraph& source, RankGroup group, int ranks, const ParameterCuts& cuts);

  TensorId at(TensorId source) const { return placed_[source.index()]; }
  std::vector<TensorId> at(const std::vector<TensorId>& source) const;
  /// From now on `source` is this.
  void place(TensorId source, TensorId placed) { placed_[source.index()] = placed; }

  /// Appends the node with these attributes and operands; its outputs keep their names and are
  /// where those of `op` are. Updates are carried over.
  void append(const Op& op, OpAttrs attrs, std::vector<TensorId> inputs);
  void append(const Op& op) { append(op, op.attrs, at(op.inputs)); }
  /// Appends a node that the source does not have; its first output.
  TensorId add(OpKind kind, const std::string& name, OpAttrs attrs, std::vector<TensorId> inputs) {
    return builder_.forward(name, kind, std::move(attrs), std::move(inputs));
  }
  /// Appends a node of a group kind. The same node asked for again is the first one.
  TensorId exchange(OpKind kind, const std::string& name, TensorId input, GroupAttrs attrs = {});

  const TensorType& type(TensorId placed) const { return builder_.type(placed); }
  /// The model whose inputs, labels, logits and loss are where those of the source are.
  Result<ModelGraph> finish() &&;

 private:
  const ModelGraph& source_;
  RankGroup group_;
  int ranks_;
  GraphBuilder builder_;
  std::vector<TensorId> placed_;  // by source TensorId
  std::unordered_map<std::string, TensorId> exchanged_;
  std::vector<ParameterShard> shards_;
};

/// Nodes that read the parameter.
std::size_t readers_of(const Graph& graph, TensorId parameter);

}  // namespace pluto
