#pragma once
// Finds the CUDA backend, or says exactly what is missing.

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/backends.h"

namespace pluto {

/// Where to look. A name without a slash is left to the loader's own path.
struct CudaSearch {
  std::vector<std::string> plugins;     ///< tried in order
  std::string driver = "libcuda.so.1";  ///< what the NVIDIA driver installs
};
/// Next to the executable, in ../lib of its folder, on the loader's path.
CudaSearch default_cuda_search();

/// Looks for the driver first (cheap), then loads the plug-in, then asks it for devices.
BackendStatus probe_cuda(const CudaSearch& search);
/// Errors: kUnsupported with what is missing (driver, plug-in, device) or does not fit (another
/// build), and in help the fix; kDevice when the device does not open.
Result<std::unique_ptr<Device>> open_cuda(const CudaSearch& search, int index);

}  // namespace pluto
