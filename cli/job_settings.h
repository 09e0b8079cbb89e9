#pragma once
// "KEY=VALUE" overrides of a job: predict --set and search --fix.

#include <string>
#include <vector>

#include "base/result.h"
#include "plan/job.h"

namespace pluto {

/// Keys of a setting, in the order --help lists them.
const std::vector<std::string>& setting_keys();

/// Fixes one thing: ranks, nodes, global_batch, micro_batch, data, tensor, pipeline, context,
/// interleave, shard, sequence_parallel, recompute, precision, attention, sync, instance,
/// spot, learning_rate, convergence (a source), critical_batch. What is fixed is no longer chosen
/// up to a maximum. Errors: kInvalidInput naming the setting, with an example or the nearest key.
Result<void> apply_setting(TrainingJob& job, const std::string& setting);

}  // namespace pluto
