#pragma once
// Device memory of the backends that compute in host memory.

#include <memory>

#include "base/result.h"
#include "runtime/device.h"

namespace pluto {

/// Zero-filled, 64-byte aligned, every page touched by the calling thread. A size of zero is
/// lawful. Errors: kDevice with the amount asked for and what is available; nothing is allocated
/// then.
Result<std::unique_ptr<DeviceBuffer>> allocate_host_buffer(Bytes size);

}  // namespace pluto
