#include "runtime/reference/reference_device.h"

#include <cstring>

#include "runtime/host.h"
#include "runtime/host_buffer.h"
#include "runtime/reference/kernels.h"

namespace pluto {
namespace {

class ReferenceDevice final : public Device {
 public:
  std::string name() const override { return cpu_model(); }
  std::string fingerprint() const override { return "reference/" + cpu_model() + "/t1"; }
  Bytes memory() const override { return pluto::host_memory(); }
  Result<std::unique_ptr<Kernel>> compile(const KernelRequest& request) override {
    return kernels_.compile(request, "reference");
  }
  Result<std::unique_ptr<DeviceBuffer>> allocate(Bytes size) override {
    return allocate_host_buffer(size);
  }
  void copy_to_device(void* destination, const void* host_source, Bytes size) override {
    std::memcpy(destination, host_source, static_cast<std::size_t>(size.value()));
  }
  void copy_to_host(void* host_destination, const void* source, Bytes size) override {
    std::memcpy(host_destination, source, static_cast<std::size_t>(size.value()));
  }
  void synchronize() override {}

 private:
  const KernelTable kernels_ = make_reference_kernels();
};

}  // namespace

KernelTable make_reference_kernels() {
  KernelTable table;
  reference::add_convolution_kernels(table);
  reference::add_linear_kernels(table);
  reference::add_moe_kernels(table);
  reference::add_pooling_kernels(table);
  reference::add_channel_norm_kernels(table);
  reference::add_row_norm_kernels(table);
  reference::add_elementwise_kernels(table);
  reference::add_shape_kernels(table);
  reference::add_attention_kernels(table);
  reference::add_recurrent_kernels(table);
  reference::add_lookup_kernels(table);
  reference::add_loss_kernels(table);
  reference::add_cast_kernels(table);
  reference::add_update_kernels(table);
  return table;
}

std::unique_ptr<Device> make_reference_device() { return std::make_unique<ReferenceDevice>(); }

}  // namespace pluto
