// The CUDA backend as far as it goes: devices, memory and copies. It has no kernels yet: compile()
// says so for every op.
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "base/check.h"
#include "model/op_schema.h"
#include "runtime/cuda/plugin.h"

namespace pluto {
namespace {

void write_text(const std::string& from, char* to, std::size_t size) {
  if (size == 0) return;
  const std::size_t length = std::min(from.size(), size - 1);
  from.copy(to, length);
  to[length] = '\0';
}

/// 13000 -> "13.0".
std::string version_text(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

std::string versions() {
  int driver = 0, runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  return fmt::format("CUDA {}, driver up to {}", version_text(runtime), version_text(driver));
}

/// A failed copy means a lost device: nothing that this process still holds there can be trusted.
void must(cudaError_t status, const char* what) {
  if (status != cudaSuccess) {
    check_failed(__FILE__, __LINE__, what, cudaGetErrorString(status));
  }
}

std::size_t count_of(Bytes size) { return static_cast<std::size_t>(size.value()); }

class CudaBuffer final : public DeviceBuffer {
 public:
  CudaBuffer(void* data, Bytes size) : data_(data), size_(size) {}
  CudaBuffer(const CudaBuffer&) = delete;
  CudaBuffer& operator=(const CudaBuffer&) = delete;
  ~CudaBuffer() override { cudaFree(data_); }
  void* data() override { return data_; }
  Bytes size() const override { return size_; }

 private:
  void* data_;
  Bytes size_;
};

class CudaDevice final : public Device {
 public:
  CudaDevice(int index, const cudaDeviceProp& properties)
      : index_(index), properties_(properties) {}

  std::string name() const override { return properties_.name; }
  std::string fingerprint() const override {
    return fmt::format("cuda/{}/sm_{}{}/{}", name(), properties_.major, properties_.minor,
                       versions());
  }
  Bytes memory() const override {
    return Bytes(static_cast<std::int64_t>(properties_.totalGlobalMem));
  }
  bool host_memory() const override { return false; }

  Result<std::unique_ptr<Kernel>> compile(const KernelRequest& request) override {
    return unsupported(
        fmt::format("the cuda backend has no kernel for {} {}", to_text(request.signature.kind),
                    to_text(request.signature.pass)),
        "run on the cpu backend");
  }

  Result<std::unique_ptr<DeviceBuffer>> allocate(Bytes size) override {
    select();
    void* data = nullptr;
    // cudaMalloc aligns to 256 bytes.
    cudaError_t status = cudaMalloc(&data, count_of(size));
    if (status == cudaSuccess) {
      auto buffer = std::make_unique<CudaBuffer>(data, size);
      status = cudaMemset(data, 0, count_of(size));
      if (status == cudaSuccess) return std::unique_ptr<DeviceBuffer>(std::move(buffer));
    }
    const std::string reason = cudaGetErrorString(status);
    cudaGetLastError();  // a failed allocation leaves its error behind for the next call
    std::size_t free = 0, total = 0;
    cudaMemGetInfo(&free, &total);
    return device_error(fmt::format("cannot allocate {} on {}: {} ({} free of {})", to_text(size),
                                    name(), reason, to_text(Bytes(static_cast<std::int64_t>(free))),
                                    to_text(Bytes(static_cast<std::int64_t>(total)))),
                        "use a smaller micro-batch or model, or a device with more memory");
  }

  void copy_to_device(void* destination, const void* host_source, Bytes size) override {
    select();
    must(cudaMemcpy(destination, host_source, count_of(size), cudaMemcpyHostToDevice),
         "copy to device");
  }
  void copy_to_host(void* host_destination, const void* source, Bytes size) override {
    select();
    must(cudaMemcpy(host_destination, source, count_of(size), cudaMemcpyDeviceToHost),
         "copy to host");
  }
  void synchronize() override {
    select();
    must(cudaDeviceSynchronize(), "synchronize");
  }

 private:
  /// The current device is a property of the calling thread.
  void select() { must(cudaSetDevice(index_), "select the device"); }

  int index_;
  cudaDeviceProp properties_;
};

bool probe(char* text, std::size_t size) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess || count == 0) {
    const char* reason =
        status == cudaSuccess ? "the driver lists no device" : cudaGetErrorString(status);
    write_text(fmt::format("no CUDA device: {} ({})", reason, versions()), text, size);
    return false;
  }
  std::string line;
  for (int index = 0; index < count; ++index) {
    cudaDeviceProp properties{};
    if (cudaGetDeviceProperties(&properties, index) != cudaSuccess) continue;
    line += fmt::format("{}: {} (sm_{}{}, {}); ", index, properties.name, properties.major,
                        properties.minor,
                        to_text(Bytes(static_cast<std::int64_t>(properties.totalGlobalMem))));
  }
  write_text(line + versions(), text, size);
  return true;
}

Device* open(int index, char* text, std::size_t size) {
  cudaDeviceProp properties{};
  cudaError_t status = cudaGetDeviceProperties(&properties, index);
  if (status == cudaSuccess) status = cudaSetDevice(index);
  if (status != cudaSuccess) {
    write_text(cudaGetErrorString(status), text, size);
    return nullptr;
  }
  return new CudaDevice(index, properties);
}

constexpr CudaPlugin kPlugin{kCudaPluginAbi, kCudaPluginLayout, kCudaPluginCompiler, probe, open};

}  // namespace
}  // namespace pluto

extern "C" __attribute__((visibility("default"))) const pluto::CudaPlugin* pluto_cuda_entry() {
  return &pluto::kPlugin;
}
