#include "runtime/cpu/cpu_device.h"

#include <cstring>
#include <dnnl.hpp>

#include "runtime/cpu/cpu_kernel.h"
#include "runtime/cpu/huge_buffer.h"
#include "runtime/host.h"
#include "runtime/reference/reference_device.h"

namespace pluto {
namespace {

// Raised whenever a change makes own kernels faster, slower or different in their last bits.
constexpr int kOwnKernelsVersion = 1;

std::string onednn_version() {
  const dnnl_version_t* v = dnnl_version();
  return std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch);
}

class CpuDevice final : public Device {
 public:
  explicit CpuDevice(int threads)
      : threads_(threads),
        reference_(make_reference_kernels()),
        fast_(cpu::make_cpu_kernels({threads, &cpu::isa_kernels()})) {}

  std::string name() const override { return cpu_model(); }
  std::string fingerprint() const override {
    return "cpu/" + cpu_model() + "/t" + std::to_string(threads_) + "/onednn-" + onednn_version() +
           "/pluto-kernels-" + std::to_string(kOwnKernelsVersion);
  }
  Bytes memory() const override { return ::pluto::host_memory(); }

  Result<std::unique_ptr<Kernel>> compile(const KernelRequest& request) override {
    // The reference factory checks the operands; the fast ones rely on it.
    PLUTO_ASSIGN(auto reference, reference_.compile(request, "cpu"));
    if (fast_.has(request.signature.kind, request.signature.pass)) {
      Result<std::unique_ptr<Kernel>> fast = fast_.compile(request, "cpu");
      if (fast.ok() || fast.error().code != ErrorCode::kUnsupported) return fast;
    }
    return reference;
  }

  Result<std::unique_ptr<DeviceBuffer>> allocate(Bytes size) override {
    return allocate_huge_buffer(size);
  }
  void copy_to_device(void* destination, const void* host_source, Bytes size) override {
    std::memcpy(destination, host_source, static_cast<std::size_t>(size.value()));
  }
  void copy_to_host(void* host_destination, const void* source, Bytes size) override {
    std::memcpy(host_destination, source, static_cast<std::size_t>(size.value()));
  }
  void synchronize() override {}

 private:
  int threads_;
  KernelTable reference_;
  KernelTable fast_;
};

}  // namespace

std::unique_ptr<Device> make_cpu_device(int threads) {
  return std::make_unique<CpuDevice>(threads);
}

}  // namespace pluto
