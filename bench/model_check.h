#pragma once
// Whole models as others measured them, against the sum of our op costs.

#include <string>

#include "base/result.h"
#include "plan/catalog.h"

namespace pluto::bench {

/// Prints predicted and measured time of forward (and backward) of what the zoo has of
/// data/measured: convnet_benchmarks in f32 without TF32, resnet50_throughput
/// in f32 (TF32 where there is one) and mixed precision; attention is eager. None of these rows was
/// fitted. Updates, casts and reading are not in the sum. Errors: kNotFound, kInvalidInput.
Result<void> check_models(const std::string& data_folder, const Catalog& catalog);

}  // namespace pluto::bench
