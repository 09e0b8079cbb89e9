#include "plan/caching_allocator.h"

#include <algorithm>

#include "base/check.h"

namespace pluto {
namespace {

constexpr std::int64_t kMiB = std::int64_t{1} << 20;
constexpr std::int64_t kUnit = 512, kSmallRequest = kMiB, kSmallSegment = 2 * kMiB;
constexpr std::int64_t kLargeSegment = 20 * kMiB, kOwnSegment = 10 * kMiB, kSegmentUnit = 2 * kMiB;

std::int64_t round_up(std::int64_t value, std::int64_t unit) {
  return (value + unit - 1) / unit * unit;
}

std::int64_t segment_size(std::int64_t size) {
  if (size <= kSmallRequest) return kSmallSegment;
  return size < kOwnSegment ? kLargeSegment : round_up(size, kSegmentUnit);
}

}  // namespace

std::optional<CachingAllocator::Handle> CachingAllocator::allocate(Bytes size) {
  const Handle handle = by_handle_.size();
  if (size.value() == 0) {
    by_handle_.push_back(std::nullopt);
    return handle;
  }
  const std::int64_t wanted = round_up(size.value(), kUnit);
  const bool small = wanted <= kSmallRequest;
  auto address = take_free(wanted, small);
  if (!address) address = new_segment(wanted, small);
  if (!address && give_back_unused()) address = new_segment(wanted, small);
  if (!address) return std::nullopt;

  Block& block = blocks_.at(*address);
  const std::int64_t left = block.size - wanted;
  if (small ? left >= kUnit : left > kSmallRequest) split(block, wanted);
  block.used = true;
  allocated_ += Bytes(block.size);
  peak_allocated_ = std::max(peak_allocated_, allocated_);
  by_handle_.push_back(address);
  return handle;
}

void CachingAllocator::release(Handle handle) {
  PLUTO_CHECK(handle < by_handle_.size(), "a handle of this allocator");
  if (!by_handle_[handle]) return;
  Block* block = &blocks_.at(*by_handle_[handle]);
  PLUTO_CHECK(block->used, "released once");
  by_handle_[handle].reset();
  block->used = false;
  allocated_ -= Bytes(block->size);
  if (block->after && !blocks_.at(*block->after).used) join_after(*block);
  if (block->before && !blocks_.at(*block->before).used) {
    block = &blocks_.at(*block->before);
    free_[block->small ? 1 : 0].erase({block->size, block->address});
    join_after(*block);
  }
  free_[block->small ? 1 : 0].insert({block->size, block->address});
}

std::optional<CachingAllocator::Address> CachingAllocator::take_free(std::int64_t size,
                                                                     bool small) {
  auto& pool = free_[small ? 1 : 0];
  const auto found = pool.lower_bound({size, 0});
  if (found == pool.end()) return std::nullopt;
  const Address address = found->address;
  pool.erase(found);
  return address;
}

std::optional<CachingAllocator::Address> CachingAllocator::new_segment(std::int64_t size,
                                                                       bool small) {
  const std::int64_t bytes = segment_size(size);
  if (capacity_ && reserved_ + Bytes(bytes) > *capacity_) return std::nullopt;
  const Address address = next_segment_;
  next_segment_ += bytes;
  blocks_[address] = {address, bytes, small, false, std::nullopt, std::nullopt};
  reserved_ += Bytes(bytes);
  peak_reserved_ = std::max(peak_reserved_, reserved_);
  return address;
}

bool CachingAllocator::give_back_unused() {
  const Bytes before = reserved_;
  for (auto& pool : free_) {
    for (auto one = pool.begin(); one != pool.end();) {
      const Block& block = blocks_.at(one->address);
      if (block.before || block.after) {
        ++one;
        continue;
      }
      reserved_ -= Bytes(block.size);
      blocks_.erase(one->address);
      one = pool.erase(one);
    }
  }
  return reserved_ < before;
}

/// Leaves `size` bytes in the block and frees the rest.
void CachingAllocator::split(Block& block, std::int64_t size) {
  Block rest = block;
  rest.address = block.address + size;
  rest.size = block.size - size;
  rest.before = block.address;
  if (rest.after) blocks_.at(*rest.after).before = rest.address;
  block.size = size;
  block.after = rest.address;
  free_[rest.small ? 1 : 0].insert({rest.size, rest.address});
  blocks_[rest.address] = rest;
}

/// Takes the free block after this one into it.
void CachingAllocator::join_after(Block& block) {
  const Block next = blocks_.at(*block.after);
  free_[next.small ? 1 : 0].erase({next.size, next.address});
  blocks_.erase(next.address);
  block.size += next.size;
  block.after = next.after;
  if (next.after) blocks_.at(*next.after).before = block.address;
}

}  // namespace pluto
