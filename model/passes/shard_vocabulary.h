#pragma once
// Which tables of a model are its vocabulary, for tensor parallelism to split. Private to
// model/passes.

#include <optional>
#include <vector>

#include "model/passes/shard_blocks.h"

namespace pluto {

/// The output layer and the loss over its columns; the look-ups in tables of as many rows.
struct Vocabulary {
  OpId head, loss;
  std::vector<OpId> lookups;
  ParameterCuts parameters;  ///< tables, the weight and bias of the head: by rows
};

/// nullopt: the last layer gives no scores of the ids that an embedding reads, somebody else reads
/// scores or tables, a block has the layer, or `ranks` do not divide the rows (Megatron-LM then
/// adds rows). Source: Shoeybi et al. 2019 (arXiv:1909.08053), section 3.
std::optional<Vocabulary> find_vocabulary(const ModelGraph& model, const TensorBlocks& blocks,
                                          int ranks);

}  // namespace pluto
