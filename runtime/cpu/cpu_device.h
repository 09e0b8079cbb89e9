#pragma once
// The CPU backend: oneDNN and own kernels, in host memory.

#include <memory>

#include "runtime/device.h"

namespace pluto {

/// Kernels use exactly `threads` (at least 1) OpenMP threads, whichever thread runs them. Kinds and
/// shapes without a fast kernel run the reference one, on one thread; Kernel::implementation()
/// tells.
std::unique_ptr<Device> make_cpu_device(int threads);

}  // namespace pluto
