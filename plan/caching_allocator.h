#pragma once
// What a caching allocator of a training framework reserves for a sequence of allocations.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "base/units.h"

namespace pluto {

/// Replays PyTorch's CUDA caching allocator on one stream, without a device.
///
/// Rules: a request is rounded up to 512 B. Up to 1 MiB it is served from the small pool, which
/// grows by segments of 2 MiB; else from the large pool, which grows by 20 MiB below 10 MiB and by
/// the request rounded up to 2 MiB above. The smallest free block that fits is taken, of equal ones
/// the lowest address; it is split when at least 512 B (small) or more than 1 MiB (large) remain. A
/// freed block joins its free neighbours. A segment never shrinks; when the device is full,
/// segments without a used block are given back and the request is tried again. Source: PyTorch,
/// c10/cuda/CUDACachingAllocator.cpp with its default settings (no max_split_size, no expandable
/// segments, no rounding to powers of two). Valid for: one stream. Ignores: other streams' pools,
/// the memory of the CUDA context and of libraries. Test: plan/caching_allocator_test.cc.
class CachingAllocator {
 public:
  /// `capacity`: of the device; unset: without limit.
  explicit CachingAllocator(std::optional<Bytes> capacity = std::nullopt) : capacity_(capacity) {}

  using Handle = std::size_t;
  /// nullopt: out of memory, and nothing changed but that unused segments went back. Precondition:
  /// size >= 0. A size of zero takes no memory.
  std::optional<Handle> allocate(Bytes size);
  /// Precondition: from allocate(), not yet released.
  void release(Handle handle);

  Bytes allocated() const { return allocated_; }  ///< blocks in use, rounded
  Bytes reserved() const { return reserved_; }    ///< segments held
  Bytes peak_allocated() const { return peak_allocated_; }
  Bytes peak_reserved() const { return peak_reserved_; }

 private:
  using Address = std::int64_t;
  struct Block {
    Address address = 0;
    std::int64_t size = 0;
    bool small = false, used = false;
    std::optional<Address> before, after;  // neighbours in the segment
  };
  struct BySize {
    std::int64_t size;
    Address address;
    auto operator<=>(const BySize&) const = default;
  };

  std::optional<Address> take_free(std::int64_t size, bool small);
  std::optional<Address> new_segment(std::int64_t size, bool small);
  bool give_back_unused();
  void split(Block& block, std::int64_t size);
  void join_after(Block& block);

  std::optional<Bytes> capacity_;
  std::map<Address, Block> blocks_;
  std::set<BySize> free_[2];  // large, small
  std::vector<std::optional<Address>> by_handle_;
  Address next_segment_ = 0;
  Bytes allocated_, reserved_, peak_allocated_, peak_reserved_;
};

}  // namespace pluto
