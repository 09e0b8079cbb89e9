#include "runtime/backends.h"

#include <fmt/format.h>

#include "base/text.h"
#include "runtime/cpu/cpu_device.h"
#include "runtime/cuda_loader.h"
#include "runtime/host.h"
#include "runtime/reference/reference_device.h"

namespace pluto {
namespace {

const std::vector<std::string> kBackends = {"reference", "cpu", "cuda"};

Error unknown_backend(const std::string& name) {
  const auto nearest = nearest_word(name, kBackends);
  return not_found(fmt::format("no backend '{}'", name),
                   nearest ? fmt::format("did you mean '{}'?", *nearest)
                           : fmt::format("backends: {}", fmt::join(kBackends, ", ")));
}

}  // namespace

std::vector<BackendStatus> probe_backends() {
  return {{"reference", true, make_reference_device()->fingerprint()},
          {"cpu", true, make_cpu_device(cpu_cores())->fingerprint()},
          probe_cuda(default_cuda_search())};
}

Result<std::unique_ptr<Device>> open_device(const std::string& backend, int threads) {
  if (backend == "reference") return make_reference_device();
  if (backend == "cpu") return make_cpu_device(threads > 0 ? threads : cpu_cores());
  if (backend == "cuda") return open_cuda(default_cuda_search(), 0);
  if (backend.starts_with("cuda:")) {
    const auto index = parse_integer(backend.substr(5));
    if (index && *index >= 0 && *index < 1024) {
      return open_cuda(default_cuda_search(), static_cast<int>(*index));
    }
  }
  return unknown_backend(backend);
}

}  // namespace pluto
