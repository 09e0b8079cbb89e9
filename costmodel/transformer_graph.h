#pragma once
// Is this graph a transformer, and of what dimensions?

#include "base/result.h"
#include "model/graph.h"
#include "plan/transformer_shape.h"

namespace pluto {

/// The dimensions of a graph of equal layers (attention, then a feed-forward block) between a token
/// table and an output layer: GPT, BERT, Llama, Qwen, Mistral, Mixtral. Read from the ops, before
/// any pass; names do not matter. BERT's second table and its output transform, and biases that
/// only some layers have, are left out where they are below a hundredth of the parameters.
/// Errors: kUnsupported with the reason when it is none: "no attention", "heads of width 128 where
/// hidden / heads is 64".
Result<TransformerShape> transformer_shape(const ModelGraph& model);

}  // namespace pluto
