#include "runtime/cpu/huge_buffer.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>

#include "base/units.h"
#include "runtime/host.h"

namespace pluto {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kHugePage = std::size_t{2} << 20;

class HugeBuffer final : public DeviceBuffer {
 public:
  HugeBuffer(void* mapping, std::size_t mapped, void* data, Bytes size)
      : mapping_(mapping), mapped_(mapped), data_(data), size_(size) {}
  HugeBuffer(const HugeBuffer&) = delete;
  HugeBuffer& operator=(const HugeBuffer&) = delete;
  ~HugeBuffer() override { munmap(mapping_, mapped_); }
  void* data() override { return data_; }
  Bytes size() const override { return size_; }

 private:
  void* mapping_;
  std::size_t mapped_;
  void* data_;
  Bytes size_;
};

std::size_t round_up(std::size_t value, std::size_t unit) {
  return (value + unit - 1) / unit * unit;
}

}  // namespace

Result<std::unique_ptr<DeviceBuffer>> allocate_huge_buffer(Bytes size) {
  // A mapping promises more than the machine has and the first touch kills the process, so ask
  // before.
  const Bytes available = available_memory();
  const std::size_t bytes = static_cast<std::size_t>(std::max<std::int64_t>(size.value(), 1));
  const bool huge = bytes >= kHugePage;
  const std::size_t mapped = huge ? round_up(bytes, kHugePage) + kHugePage : round_up(bytes, kPage);
  void* mapping = MAP_FAILED;
  if (size.value() >= 0 && size <= available) {
    mapping = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  }
  if (mapping == MAP_FAILED) {
    return device_error("cannot allocate " + to_text(size) + " of host memory: " +
                            to_text(available) + " available of " + to_text(host_memory()),
                        "use a smaller micro-batch or model, or a host with more memory");
  }
  void* data = mapping;
  if (huge) {
    const auto address = reinterpret_cast<std::uintptr_t>(mapping);
    data = static_cast<char*>(mapping) + (round_up(address, kHugePage) - address);
    madvise(data, round_up(bytes, kHugePage), MADV_HUGEPAGE);  // a wish: refusal costs only speed
  }
  for (std::size_t at = 0; at < bytes; at += kPage) static_cast<volatile char*>(data)[at] = 0;
  return std::unique_ptr<DeviceBuffer>(std::make_unique<HugeBuffer>(mapping, mapped, data, size));
}

}  // namespace pluto
