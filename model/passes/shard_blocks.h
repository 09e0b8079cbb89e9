#pragma once
// Which parts of a model tensor parallelism can split: found from the graph's structure. Private to
// model/passes.

#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "model/passes/shard_writer.h"

namespace pluto {

/// What a node is to the blocks around it.
enum class BlockRole : std::uint8_t {
  kOutside,  ///< every rank computes all of it
  kColumn,   ///< linear: whole input, part of the features out
  kInner,    ///< works on its part of the features or heads
  kRow,      ///< linear: part of the features in, a partial sum out
  kExperts,  ///< moe_ffn: whole input, partial sum out
};

/// A tensor inside a block is cut like a parameter: along an axis, by pieces.
struct TensorBlocks {
  std::vector<BlockRole> role;                         ///< by OpId
  std::unordered_map<TensorId, ParameterCut> tensors;  ///< activations inside blocks
  ParameterCuts parameters;
  bool empty() const { return parameters.empty(); }
};

/// The blocks of a model for `ranks` tensor ranks: from a linear layer forward through nodes that
/// treat features or heads apart to the linear layers that end them, and back from their other
/// operands to more linear layers that begin them. Errors: those of shard_tensor().
Result<TensorBlocks> find_tensor_blocks(const ModelGraph& model, int ranks);

}  // namespace pluto
