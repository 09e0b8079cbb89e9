#pragma once
// Recomputing activations in backward instead of keeping them.

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace pluto {

/// What backward computes again: nothing; what is large and cheap; everything but the boundaries of
/// blocks.
enum class Recompute : std::uint8_t { kNone, kSelective, kFull };
const char* to_text(Recompute recompute);  ///< "none", "selective", "full"
Result<Recompute> parse_recompute(std::string_view text);

}  // namespace pluto
