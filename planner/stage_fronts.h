#pragma once
// A choice per pipeline stage, from what each stage could do.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace pluto {

/// What a stage could do.
struct StageOption {
  Seconds steady;  ///< of one micro-batch
  Seconds once;    ///< of one step besides: synchronisation that nothing hides, update
};

struct JoinedStages {
  std::vector<std::size_t> option;  ///< by stage
  Seconds step;
};

/// The options whose step is shortest.
/// Formula: step = (micro_batches - 1) * max steady + sum of (steady + once).
/// Source: Zheng et al. 2022 (Alpa), equation 2; a front per stage joined afterwards: Mist (Zhu et
///   al. 2025).
/// Method: exact. Options enter by rising steady time, each stage keeps the one with the least
///   steady + once; the step is priced after each. n log n in the options.
/// Valid for: options that each fit in their stage's memory. Ignores: synchronisation of one stage
///   behind the drain of others. Test: planner/stage_fronts_test.cc (all options tried).
/// Errors: kInvalidInput for no stages, no micro-batches or a stage without options.
Result<JoinedStages> join_stages(std::span<const std::vector<StageOption>> stages,
                                 std::int64_t micro_batches);

}  // namespace pluto
