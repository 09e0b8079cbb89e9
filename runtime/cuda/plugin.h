#pragma once
// The boundary between Pluto and its CUDA backend: a shared object, loaded at run time, with one C
// function that hands out a table. Linking the CUDA libraries instead would cost every run their
// start-up time and memory.
//
// The object exports pluto_cuda_entry() and nothing else. Both sides share the C++ types of
// runtime/device.h, so they must be built from the same headers by the same compiler; the first
// three fields of the table say whether they were, and the loader reads no further when they
// differ. The object stays loaded until the process ends.

#include <cstddef>
#include <cstdint>

#include "runtime/device.h"

namespace pluto {

/// Raised with every change of CudaPlugin or of the meaning of a type in device.h. The three stamp
/// fields below keep their places for ever.
constexpr std::uint32_t kCudaPluginAbi = 1;
/// Sizes of the types that cross, mixed: a second guard, for changes that forgot to raise the
/// number.
constexpr std::uint64_t kCudaPluginLayout =
    ((((sizeof(KernelArguments) * 4099 + sizeof(KernelRequest)) * 4099 + sizeof(OpAttrs)) * 4099 +
      sizeof(TensorType)) *
         4099 +
     sizeof(Error)) *
        4099 +
    sizeof(std::string);
constexpr const char* kCudaPluginCompiler = __VERSION__;

struct CudaPlugin {
  std::uint32_t abi = kCudaPluginAbi;
  std::uint64_t layout = kCudaPluginLayout;
  const char* compiler = kCudaPluginCompiler;
  /// Writes one line into `text` (NUL-terminated, cut to `size`): devices and versions, or why
  /// there is none. Returns whether a device can be opened.
  bool (*probe)(char* text, std::size_t size) = nullptr;
  /// The device with this index, owned by the caller; nullptr with the reason in `text`.
  Device* (*open)(int index, char* text, std::size_t size) = nullptr;
};

/// Type and name of the one exported function. The table lives as long as the object is loaded.
using CudaPluginEntry = const CudaPlugin* (*)();
constexpr const char* kCudaPluginEntryName = "pluto_cuda_entry";
constexpr const char* kCudaPluginFile = "libpluto_cuda.so";

}  // namespace pluto
