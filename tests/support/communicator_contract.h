#pragma once
// What every Communicator promises, as checks each rank runs on itself. Shared by the in-process
// and the MPI tests.

#include <gtest/gtest.h>

#include <cstdint>
#include <numeric>
#include <vector>

#include "runtime/communicator.h"

namespace pluto::testing {

/// Value i of rank r before a collective: small integers, so that float sums are exact.
inline float contribution(int rank, std::size_t i) {
  return static_cast<float>((rank + 1) * 3 + static_cast<int>(i % 17));
}

inline std::vector<float> contributions(int rank, std::size_t n) {
  std::vector<float> values(n);
  for (std::size_t i = 0; i < n; ++i) values[i] = contribution(rank, i);
  return values;
}

inline float summed(int ranks, std::size_t i) {
  float sum = 0;
  for (int r = 0; r < ranks; ++r) sum += contribution(r, i);
  return sum;
}

inline const std::vector<std::size_t>& lengths() {
  static const std::vector<std::size_t> kLengths = {0, 1, 2, 3, 7, 64, 1001, 70000};
  return kLengths;
}

inline void all_reduce_sums(Communicator& c) {
  for (const std::size_t n : lengths()) {
    auto values = contributions(c.rank(), n);
    std::vector<std::byte> staging(static_cast<std::size_t>(
        all_reduce_staging(static_cast<std::int64_t>(n), c.size()).value()));
    ASSERT_TRUE(c.all_reduce(values, staging).ok());
    for (std::size_t i = 0; i < n; ++i)
      ASSERT_EQ(values[i], summed(c.size(), i)) << "n=" << n << " i=" << i;
  }
}

inline void shards_reduce_to_their_owners_and_come_back(Communicator& c) {
  for (int servers = 1; servers <= c.size(); ++servers) {
    std::vector<int> owners;
    for (int s = 0; s < servers; ++s) owners.push_back(c.size() - 1 - s);
    for (const std::size_t n : lengths()) {
      const auto count = static_cast<std::int64_t>(n);
      auto values = contributions(c.rank(), n);
      std::vector<std::byte> staging(
          static_cast<std::size_t>(reduce_scatter_staging(count, c.size(), servers).value()));
      ASSERT_TRUE(c.reduce_scatter(values, owners, staging).ok());
      for (int s = 0; s < servers; ++s) {
        const ShardRange range = shard_of(count, s, servers);
        for (auto i = range.begin; i < range.end; ++i) {
          const auto at = static_cast<std::size_t>(i);
          const bool owned = owners[static_cast<std::size_t>(s)] == c.rank();
          ASSERT_TRUE(!owned || values[at] == summed(c.size(), at)) << "n=" << n << " shard " << s;
        }
      }
      ASSERT_TRUE(c.all_gather_shards(values, owners).ok());
      for (std::size_t i = 0; i < n; ++i)
        ASSERT_EQ(values[i], summed(c.size(), i)) << "n=" << n << " servers=" << servers;
    }
  }
}

inline void all_gather_keeps_rank_order(Communicator& c) {
  for (const std::size_t n : lengths()) {
    const auto block = contributions(c.rank(), n);
    std::vector<float> all(n * static_cast<std::size_t>(c.size()), -1);
    ASSERT_TRUE(
        c.all_gather(std::as_bytes(std::span(block)), std::as_writable_bytes(std::span(all))).ok());
    for (int r = 0; r < c.size(); ++r) {
      for (std::size_t i = 0; i < n; ++i)
        ASSERT_EQ(all[static_cast<std::size_t>(r) * n + i], contribution(r, i));
    }
  }
}

inline void broadcast_reaches_everyone_from_any_root(Communicator& c) {
  for (int root = 0; root < c.size(); ++root) {
    auto values = contributions(c.rank(), 1001);
    ASSERT_TRUE(c.broadcast(std::as_writable_bytes(std::span(values)), root).ok());
    for (std::size_t i = 0; i < values.size(); ++i) ASSERT_EQ(values[i], contribution(root, i));
  }
}

inline void exchange_goes_both_ways_at_once(Communicator& c) {
  if (c.size() < 2) return;
  const int next = (c.rank() + 1) % c.size(), previous = (c.rank() + c.size() - 1) % c.size();
  const auto sent = contributions(c.rank(), 300000);
  std::vector<float> received(sent.size());
  ASSERT_TRUE(c.exchange(next, std::as_bytes(std::span(sent)), previous,
                         std::as_writable_bytes(std::span(received)))
                  .ok());
  for (std::size_t i = 0; i < received.size(); ++i)
    ASSERT_EQ(received[i], contribution(previous, i));
}

/// Random calls in the same order on every rank finish and agree.
inline void mixed_sequence_agrees(Communicator& c) {
  std::vector<float> values = contributions(c.rank(), 513);
  std::vector<std::byte> staging(
      static_cast<std::size_t>(all_reduce_staging(513, c.size()).value()));
  for (int round = 0; round < 20; ++round) {
    ASSERT_TRUE(c.all_reduce(values, staging).ok());
    for (float& v : values) v /= 1024.0F;
    ASSERT_TRUE(c.barrier().ok());
    std::vector<float> copy = values;
    ASSERT_TRUE(c.broadcast(std::as_writable_bytes(std::span(copy)), round % c.size()).ok());
    ASSERT_EQ(copy, values) << "all_reduce differs between ranks";
  }
}

}  // namespace pluto::testing
