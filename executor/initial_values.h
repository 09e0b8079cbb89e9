#pragma once
// What parameters and buffers hold before the first step.

#include <cstdint>

#include "executor/step_code.h"

namespace pluto {

/// Fills parameters and buffers from their Init, the same on every rank and under every plan:
/// normal values are philox_normal(seed, stream, step, element) with stream = the tensor's position
/// among the model's parameters and buffers in id order and step = 0xffffffff. Optimizer state is
/// left at zero. Errors: kUnsupported naming a tensor that is not f32.
Result<void> set_initial_values(const StepCode& code, std::uint64_t seed, Device& device);

}  // namespace pluto
