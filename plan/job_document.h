#pragma once
// A job as the document it could have been read from.

#include "base/document.h"
#include "plan/job.h"

namespace pluto {

/// In the keys of docs/job_format.md; what is unset or chosen is left out, times are in seconds
/// ("21600s"). job_from_value() of it gives the same job, but for what was looked up
/// (samples_law, exponents, epochs of a metric) and for `strategy`, which has no key.
/// Test: plan/job_document_test.cc.
Value to_value(const TrainingJob& job);

}  // namespace pluto
