#pragma once
// Points in time as people and files write them: ISO 8601 with a stated time zone.

#include <string_view>

#include "base/result.h"

namespace pluto {

/// "2026-12-01T08:00Z", "2026-12-01T08:00:30Z", "2026-12-01T10:00+02:00": seconds since
/// 1970-01-01T00:00Z. Errors: kInvalidInput; a time without a zone is refused, because a wrong
/// guess is off by hours.
Result<double> parse_utc(std::string_view text);

/// True when the text begins as a date does ("2026-..."), so that it is no duration.
bool looks_like_date(std::string_view text);

}  // namespace pluto
