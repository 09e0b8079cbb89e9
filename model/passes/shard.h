#pragma once
// Graph -> graph transforms that split one model over the ranks of a group: the result is the model
// of one rank, with communication as forward nodes whose gradient rules are their adjoints. Before
// differentiate(); the ranks of a group run the same graph on parts of the parameters (its
// `shards`), and loss and gradients, parts joined, are those of the whole model to rounding.
//
// Dropout on a part draws from the part's own counters: other masks than the whole layer's.

#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"
#include "model/graph.h"

namespace pluto {

/// Hybrid parallelism: the linear layers named in `layers` (nodes) split by output features over
/// the data ranks, whose own micro-batches meet at them. A batch enters by all_gather over the
/// ranks (batch_multiple = ranks), features go on to the next such layer by all_gather of features,
/// element-wise nodes between run on the part, and before any other node an all_to_all gives each
/// rank its own batch with all features. The gradients of the layers' parameters are complete on
/// the rank that owns them.
/// Source: Krizhevsky 2014 (arXiv:1404.5997), section 4, scheme (a): the whole batch at once.
/// Ignores: sending the batch in pieces under the products (schemes b and c).
/// With ranks == 1 the model itself. Errors: kInvalidInput naming a layer that is no linear node,
/// shares a parameter, or has features that the ranks do not divide.
Result<ModelGraph> shard_layers(const ModelGraph& model, std::span<const std::string> layers,
                                int ranks);

/// Tensor parallelism: every block that begins with linear layers and ends with linear layers, with
/// nodes between that treat features (heads) apart, is split by columns at its beginning and by
/// rows at its end: group_copy before, group_all_reduce behind. Attention keeps heads whole and
/// needs as many key/value heads as ranks, a mixture of experts splits each expert's inner width.
/// Biases of row layers are added on the first rank of the group only (group_first). What is in no
/// block (normalisation, positions, a last linear layer with the loss) is computed by every rank
/// alike.
///
/// The vocabulary is split by rows: of the tables that embeddings look up, zeros for the rows of
/// others and an all_reduce behind; of the last linear layer, tied or not, whose columns a
/// split_cross_entropy keeps apart. `logits` are then those of the rank's columns. Where the ranks
/// do not divide the rows it is whole on every rank.
///
/// With `sequence_parallel` the all_reduce is a reduce_scatter along the sequence (axis 0),
/// row-wise nodes between blocks run on the part, and an all_gather comes before the next block;
/// parameters of such nodes pass a group_copy, whose adjoint sums their gradients. The gathered
/// sequence is kept for backward (Megatron-LM gathers it again).
///
/// Formula, per transformer layer: 2 all_reduce of b s h forward, 2 backward; with
///   sequence_parallel 2 all_gather and 2 reduce_scatter each way. Vocabulary: an all_reduce of b s
///   h forward (embedding) and one backward (last layer; with sequence_parallel all_gather and
///   reduce_scatter), and an all_gather of 2 t numbers per position, which Megatron-LM sends as
///   three all_reduces of one.
/// Source: Shoeybi et al. 2019 (arXiv:1909.08053), section 3; Korthikanti et al. 2022
///   (arXiv:2205.05198), section 4.2.
/// Test: model/shard_tensor_test.cc, model/shard_vocabulary_test.cc,
/// executor/shard_equality_test.cc.
/// With ranks == 1 the model itself. Errors: kUnsupported when nothing can be split, naming the
/// first linear layer and the node in its way; when heads or features of a block are no multiple of
/// the ranks; when sequence_parallel meets a block without sequence or of another length.
Result<ModelGraph> shard_tensor(const ModelGraph& model, int ranks, bool sequence_parallel);

/// Context parallelism: every rank has a part of the positions of each sample. Nodes that treat
/// positions apart work on their part; attention gathers keys and values of all positions, and its
/// backward scatters their gradients. The loss is the mean over the own positions, and a gradient
/// is complete when it is summed over data and context ranks with loss_scale 1 / (global batch x
/// ranks). Formula, per attention: all_gather forward and reduce_scatter backward of b s kv d,
/// twice. Source: the all_gather form of Megatron-LM's context parallelism; Liu et al. 2023
///   (arXiv:2310.01889) send the same bytes round a ring.
/// Ignores: that causal attention does less on early parts (Megatron-LM deals out pairs of parts
///   from both ends; work_attention counts that balance), the overlap of a ring with its products,
///   and that keys and values are gathered again in backward there, kept here.
/// With ranks == 1 the model itself. Errors: kUnsupported when the model has no attention, its
/// sequence is no multiple of the ranks, or naming a node that needs all positions.
Result<ModelGraph> shard_sequence(const ModelGraph& model, int ranks);

/// Expert parallelism: every rank has a part of the experts of each moe_ffn. Tokens of all ranks
/// are gathered, each rank computes what its experts answer, and the answers are summed and
/// scattered back.
/// Formula, per layer: all_gather and reduce_scatter of P b s h forward and again backward.
/// Source: the all_gather dispatcher of Megatron-LM.
/// Ignores: the all_to_all dispatcher, which sends only chosen tokens: top_k / experts of this per
///   rank pair, and depends on the routing.
/// With ranks == 1 the model itself. Errors: kUnsupported without experts, or naming the node whose
/// experts are no multiple of the ranks.
Result<ModelGraph> shard_experts(const ModelGraph& model, int ranks);

/// Kinds that compute each element of the output from the elements at its place: features may be
/// cut anywhere.
bool is_element_wise(OpKind kind);

}  // namespace pluto
