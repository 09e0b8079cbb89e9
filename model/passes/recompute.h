#pragma once
// Activation checkpointing: forward nodes that run again in backward instead of keeping what they
// made.

#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "model/training_graph.h"

namespace pluto {

/// How much of the forward pass is repeated in backward.
enum class Recompute : std::uint8_t {
  kNone,
  kSelective,  ///< what is cheap for the memory it holds
  kFull,       ///< all between the boundaries of blocks
};
const char* to_text(Recompute recompute);  ///< "none", "selective", "full"
Result<Recompute> parse_recompute(std::string_view text);

/// The graph in which backward reads copies of what is not kept. A copy of node "op" is the forward
/// node "op.recompute" of phase backward; it stands just before the first backward node that needs
/// it (with the copies it needs itself), so that one segment at a time is alive. What backward does
/// not need is not repeated. Copies read the same streams, so dropout draws the same mask; copies
/// of batch norms rewrite no running statistics. What is dropped: dropped_activations(). Loss
/// and gradients are bitwise those of `training`. Apply after differentiate; before or after
/// accumulate_gradients, before insert_sync; to each stage of a pipeline (split_stages), so that no
/// copy needs another stage. Identity for kNone. Errors: kInvalidInput when there are copies
/// already.
Result<TrainingGraph> recompute(const TrainingGraph& training, Recompute recompute);

/// By TensorId of `training`: whether backward reads a copy, made again, instead of the activation.
///
///   selective  Graphs with attention: what the attention nodes make, or all from the product of
///              scores to the dropout after the softmax. Other graphs: results of element-wise,
///              normalisation and pooling nodes whose operands are kept for backward anyway, and of
///              chains of such.
///   full       Graphs with attention and no recurrent layer: what is made between the input of
///              each layer (the narrowest place between one attention and the next) and the input
///              of the next. Other graphs: segments, all but the last, that make the kept
///              boundaries plus the largest segment smallest.
///
/// Formula: with r(i) the bytes of node i that later forward nodes read, s(i) those that only
/// backward reads, saved(i) all that backward reads and u(i) the last forward node that reads it:
/// cuts 0 = c0 < c1 < .. < n minimise the sum of r(i) over i < c <= u(i) for some cut c, plus the
/// largest sum over a segment of saved(i), or s(i) where i crosses its end. By dynamic programming
/// for each largest segment, from the whole graph down to where the boundaries alone are more.
/// Statistics (s(i) at most r(i) / 8) are kept with the result they belong to.
/// Source: selective: Korthikanti et al. 2022, section 5; without attention: Chen et al. 2016,
/// section 3. full: Chen et al. 2016, algorithm 3, with the best cuts instead of greedy ones.
/// Valid for: memory that activations dominate. Ignores: gradients in flight, workspace, time;
/// bytes are those of one sample. Test: tests/model/recompute_choice_test.cc,
/// tests/plan/recompute_memory_test.cc.
std::vector<bool> dropped_activations(const TrainingGraph& training, Recompute recompute);

}  // namespace pluto
