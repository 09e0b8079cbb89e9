#pragma once
// Attention written as single nodes, as importers and models have it, becomes one attention node.

#include "base/result.h"
#include "model/graph.h"

namespace pluto {

/// Replaces softmax(scale q k') v by an attention node where it is exactly that: a product of q and
/// k over h heads of width d with scale 1 / sqrt(d), a softmax, a product with v, as many keys as
/// queries, nothing between them and no other reader of the scores and weights. Heads may be made
/// and joined again by any reshapes and transposes of (T, h d); those that nobody else reads go
/// too. The tensor that joins the heads keeps its name; the node has that of the last product. Not
/// matched: masks, dropout of the weights, keys and values shared by several heads. Errors: none
/// that a valid graph can cause. Source: Dao et al. 2022 (no scores in memory). Test:
/// tests/model/fuse_attention_test.cc.
Result<ModelGraph> fuse_attention(const ModelGraph& model);

}  // namespace pluto
