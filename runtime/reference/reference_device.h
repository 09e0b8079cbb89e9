#pragma once
// The oracle: plain loops for every op kind and pass, sums in double. What other backends are
// compared with.

#include <memory>

#include "runtime/device.h"
#include "runtime/kernel_table.h"

namespace pluto {

/// Every kind and pass of docs/operators.md except communication kinds (a Communicator performs
/// those). Values are f32, ids, labels and argmax i32; cast and the shape kinds take every type.
/// Kernels say implementation() "reference".
KernelTable make_reference_kernels();

/// One thread, host memory.
std::unique_ptr<Device> make_reference_device();

}  // namespace pluto
