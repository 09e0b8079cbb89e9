#pragma once
// The element-wise function a node applies to its result before storing it: the epilogue of a
// product, made by the fuse pass.

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.h"

namespace pluto {

enum class OpKind : std::uint8_t;

enum class Activation : std::uint8_t { kNone, kRelu, kTanh, kSigmoid, kGelu, kSilu };
const char* to_text(Activation activation);  ///< "none", or the op kind: "relu", "gelu", ...
Result<Activation> parse_activation(std::string_view text);

/// The op kind that computes the function alone. Precondition: not kNone.
OpKind kind_of(Activation activation);
/// nullopt: the kind is no such function.
std::optional<Activation> activation_of(OpKind kind);
/// Whether backward reads what the function was applied to (gelu, silu) and not its result: the
/// node then has that as its second output.
bool keeps_operand(Activation activation);

}  // namespace pluto
