#pragma once
// Arena memory of the CPU backend, on huge pages where the system gives them.

#include <memory>

#include "base/result.h"
#include "runtime/device.h"

namespace pluto {

/// Zero-filled, aligned to 2 MiB (from that size on), every page touched by the calling thread, so
/// that no step pays for page faults. A size of zero is lawful. Errors: kDevice with the amount
/// asked for and what is available; nothing is allocated then.
Result<std::unique_ptr<DeviceBuffer>> allocate_huge_buffer(Bytes size);

}  // namespace pluto
