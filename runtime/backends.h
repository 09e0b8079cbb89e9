#pragma once
// Which devices exist here: the only place with feature conditionals and dynamic loading.

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/device.h"

namespace pluto {

/// Whether a backend can be used on this machine and, if not, why.
struct BackendStatus {
  std::string name;  ///< "reference", "cpu", "cuda"
  bool available = false;
  std::string
      detail;  ///< device and library versions, or what was looked for and where, and the fix
};
/// Cheap (under a millisecond for absent backends); never fails.
std::vector<BackendStatus> probe_backends();

/// `backend`: "reference", "cpu", "cuda" or "cuda:N" (the N-th device, from 0). `threads`: of the
/// cpu backend; 0 or less: one per core of the affinity mask. Errors: kUnsupported with the probe's
/// reason, kNotFound for an unknown name, kDevice when the device does not open.
Result<std::unique_ptr<Device>> open_device(const std::string& backend, int threads);

}  // namespace pluto
