#include "runtime/host_buffer.h"

#include <cstdlib>
#include <cstring>

#include "base/units.h"
#include "runtime/host.h"

namespace pluto {
namespace {

constexpr std::size_t kAlignment = 64;

class HostBuffer final : public DeviceBuffer {
 public:
  HostBuffer(void* data, Bytes size) : data_(data), size_(size) {}
  HostBuffer(const HostBuffer&) = delete;
  HostBuffer& operator=(const HostBuffer&) = delete;
  ~HostBuffer() override { std::free(data_); }
  void* data() override { return data_; }
  Bytes size() const override { return size_; }

 private:
  void* data_;
  Bytes size_;
};

}  // namespace

Result<std::unique_ptr<DeviceBuffer>> allocate_host_buffer(Bytes size) {
  // The kernel promises more than it has and kills the process on the first touch, so ask before.
  const Bytes available = available_memory();
  void* data = nullptr;
  if (size.value() >= 0 && size <= available) {
    const std::size_t bytes = static_cast<std::size_t>(size.value());
    const std::size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    data = std::aligned_alloc(kAlignment, rounded == 0 ? kAlignment : rounded);
    if (data != nullptr) std::memset(data, 0, rounded);
  }
  if (data == nullptr) {
    return device_error("cannot allocate " + to_text(size) + " of host memory: " +
                            to_text(available) + " available of " + to_text(host_memory()),
                        "use a smaller micro-batch or model, or a host with more memory");
  }
  return std::unique_ptr<DeviceBuffer>(std::make_unique<HostBuffer>(data, size));
}

}  // namespace pluto
