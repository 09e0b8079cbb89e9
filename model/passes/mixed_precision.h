#pragma once
// Training in 16 bits over 32-bit parameters.

#include "base/result.h"
#include "model/graph.h"

namespace pluto {

/// Mixed precision as frameworks do it: parameters, their gradients and the optimizer stay f32;
/// every node that reads a parameter reads a cast copy of its own, and activations are `half`.
/// Look- ups read their table in f32 and cast what they find; normalisations read gamma and beta in
/// f32; losses are f32. Casts are nodes ("<node>.cast<i>" of a node's operand i, "<tensor>.cast" of
/// an activation that several nodes read in the other type), so their time and memory are seen.
/// Source: Micikevicius et al. 2018 (arXiv:1710.03740), section 3; the rules of torch.autocast.
/// Valid for: f32 models. Ignores: the factor on an f16 loss, which changes no work. After the
/// passes that split a model, which look for parameters; before differentiate(). f32: the model
/// itself. Errors: kInvalidInput when `half` is no 16-bit type; those of GraphBuilder.
Result<ModelGraph> mixed_precision(const ModelGraph& model, DType half);

}  // namespace pluto
