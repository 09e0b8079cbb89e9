#pragma once
// How an answer is known.

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace pluto {

/// How an answer is known, best first.
enum class Evidence : std::uint8_t { kMeasured, kInterpolated, kCalibrated, kDatasheet, kAssumed };
const char* to_text(
    Evidence evidence);  ///< "measured", "interpolated", "calibrated", "datasheet", "assumed"
char evidence_letter(Evidence evidence);  ///< M I C D A
Result<Evidence> parse_evidence(std::string_view text);

}  // namespace pluto
