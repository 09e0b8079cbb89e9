#include "runtime/cuda_loader.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "runtime/cuda/plugin.h"

namespace pluto {
namespace {

using Text = std::array<char, 1024>;

bool library_loads(const std::string& name) {
  void* handle = dlopen(name.c_str(), RTLD_LAZY | RTLD_LOCAL);
  if (handle != nullptr) dlclose(handle);
  return handle != nullptr;
}

/// Whether `path` names a file; of a bare name only the loader knows.
bool missing(const std::string& path) {
  return path.find('/') != std::string::npos && access(path.c_str(), F_OK) != 0;
}

/// The first candidate that loads; one that is there but does not load is an error, not a reason to
/// look on.
Result<void*> load_library(const CudaSearch& search) {
  for (const std::string& candidate : search.plugins) {
    if (missing(candidate)) continue;
    void* handle = dlopen(candidate.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (handle != nullptr) return handle;
    const char* reason = dlerror();
    if (candidate.find('/') != std::string::npos) {
      return unsupported(fmt::format("{} does not load: {}", candidate,
                                     reason == nullptr ? "no reason given" : reason),
                         "rebuild and install Pluto with its CUDA plug-in");
    }
  }
  return unsupported(
      fmt::format("the CUDA plug-in is not there (looked for {})", fmt::join(search.plugins, ", ")),
      "configure Pluto with a CUDA toolkit (cmake -DPLUTO_CUDA=ON -DCUDAToolkit_ROOT=...) and "
      "install it");
}

Result<const CudaPlugin*> load_plugin(const CudaSearch& search) {
  if (!library_loads(search.driver)) {
    return unsupported(
        fmt::format("no NVIDIA driver on this machine (the loader finds no {})", search.driver),
        "install the NVIDIA driver, or use the cpu backend");
  }
  PLUTO_ASSIGN(void* handle, load_library(search));
  const auto entry = reinterpret_cast<CudaPluginEntry>(dlsym(handle, kCudaPluginEntryName));
  const std::string rebuild = "rebuild and install Pluto and its CUDA plug-in together";
  if (entry == nullptr) {
    return unsupported(fmt::format("the CUDA plug-in has no function {}", kCudaPluginEntryName),
                       rebuild);
  }
  const CudaPlugin* plugin = entry();
  if (plugin->abi != kCudaPluginAbi || plugin->layout != kCudaPluginLayout ||
      std::strcmp(plugin->compiler, kCudaPluginCompiler) != 0) {
    return unsupported(fmt::format("the CUDA plug-in is of another build: interface {} layout {:x} "
                                   "compiler {}, this program has "
                                   "interface {} layout {:x} compiler {}",
                                   plugin->abi, plugin->layout, plugin->compiler, kCudaPluginAbi,
                                   kCudaPluginLayout, kCudaPluginCompiler),
                       rebuild);
  }
  return plugin;
}

/// The plug-in, when it also has a device; `line` gets what it says about its devices.
Result<const CudaPlugin*> usable_plugin(const CudaSearch& search, std::string& line) {
  PLUTO_ASSIGN(const CudaPlugin* plugin, load_plugin(search));
  Text text{};
  const bool usable = plugin->probe(text.data(), text.size());
  line = text.data();
  if (usable) return plugin;
  return unsupported(line, "check the driver with nvidia-smi, or use the cpu backend");
}

}  // namespace

CudaSearch default_cuda_search() {
  CudaSearch search;
  std::error_code error;
  const std::filesystem::path executable = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) {
    const std::filesystem::path folder = executable.parent_path();
    search.plugins.push_back((folder / kCudaPluginFile).string());
    search.plugins.push_back((folder.parent_path() / "lib" / kCudaPluginFile).string());
  }
  search.plugins.push_back(kCudaPluginFile);
  return search;
}

BackendStatus probe_cuda(const CudaSearch& search) {
  std::string line;
  const auto plugin = usable_plugin(search, line);
  if (plugin.ok()) return {"cuda", true, line};
  return {"cuda", false, plugin.error().message + "; " + plugin.error().help};
}

Result<std::unique_ptr<Device>> open_cuda(const CudaSearch& search, int index) {
  std::string line;
  PLUTO_ASSIGN_AT("cuda backend", const CudaPlugin* plugin, usable_plugin(search, line));
  Text text{};
  std::unique_ptr<Device> device(plugin->open(index, text.data(), text.size()));
  if (device == nullptr) {
    return device_error(fmt::format("cuda backend: device {}: {}", index, text.data()),
                        "devices here: " + line);
  }
  return device;
}

}  // namespace pluto
