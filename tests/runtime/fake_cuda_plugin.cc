// Stand-ins for the CUDA plug-in. FAKE_ABI: the interface it claims; FAKE_DEVICES: how many devices
// it has; FAKE_ENTRY: the name of its function.
#include <cstring>
#include <string>

#include "runtime/cuda/plugin.h"

namespace pluto {
namespace {

class FakeDevice final : public Device {
 public:
  explicit FakeDevice(int index) : index_(index) {}
  std::string name() const override { return "fake device " + std::to_string(index_); }
  std::string fingerprint() const override { return "fake"; }
  Bytes memory() const override { return Bytes(0); }
  Result<std::unique_ptr<Kernel>> compile(const KernelRequest&) override {
    return unsupported("fake");
  }
  Result<std::unique_ptr<DeviceBuffer>> allocate(Bytes) override { return device_error("fake"); }
  void copy_to_device(void*, const void*, Bytes) override {}
  void copy_to_host(void*, const void*, Bytes) override {}
  void synchronize() override {}

 private:
  int index_;
};

bool probe(char* text, std::size_t size) {
  std::strncpy(text, FAKE_DEVICES > 0 ? "fake driver 1.0" : "no device today", size - 1);
  return FAKE_DEVICES > 0;
}

Device* open(int index, char* text, std::size_t size) {
  if (index < FAKE_DEVICES) return new FakeDevice(index);
  std::strncpy(text, "invalid device ordinal", size - 1);
  return nullptr;
}

constexpr CudaPlugin kPlugin{FAKE_ABI, kCudaPluginLayout, kCudaPluginCompiler, probe, open};

}  // namespace
}  // namespace pluto

extern "C" __attribute__((visibility("default"))) const pluto::CudaPlugin* FAKE_ENTRY() {
  return &pluto::kPlugin;
}
