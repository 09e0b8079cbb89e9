#pragma once
// Whole models as others measured them, against the sum of our op costs.

#include <string>

#include "base/result.h"
#include "plan/catalog.h"

namespace pluto::bench {

/// Prints predicted and measured time of forward (and backward) of the models of data/measured's
/// neusight_models and convnet_benchmarks that the zoo has, in f32 without TF32 and fused
/// attention. None of these rows was fitted. Errors: kNotFound, kInvalidInput.
Result<void> check_models(const std::string& data_folder, const Catalog& catalog);

}  // namespace pluto::bench
