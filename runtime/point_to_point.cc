#include "runtime/point_to_point.h"

#include <cstring>
#include <optional>

#include "base/check.h"

namespace pluto {

namespace {

std::span<float> part(std::span<float> values, ShardRange range) {
  return values.subspan(static_cast<std::size_t>(range.begin),
                        static_cast<std::size_t>(range.end - range.begin));
}

std::span<float> staged(std::span<std::byte> staging, std::size_t elements) {
  PLUTO_CHECK(staging.size() >= elements * sizeof(float),
              "staging is smaller than the collective needs");
  return {reinterpret_cast<float*>(staging.data()), elements};
}

void add_into(std::span<float> sum, std::span<const float> values) {
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += values[i];
}

/// The shard that `rank` owns, or nullopt.
std::optional<int> shard_owned_by(std::span<const int> owners, int rank) {
  for (std::size_t s = 0; s < owners.size(); ++s) {
    if (owners[s] == rank) return static_cast<int>(s);
  }
  return std::nullopt;
}

}  // namespace

ShardRange shard_of(std::int64_t elements, int shard, int shards) {
  return {elements * shard / shards, elements * (shard + 1) / shards};
}

Bytes all_reduce_staging(std::int64_t elements, int ranks) {
  return Bytes(ranks > 1 ? (elements + ranks - 1) / ranks * static_cast<std::int64_t>(sizeof(float))
                         : 0);
}

Bytes reduce_scatter_staging(std::int64_t elements, int ranks, int servers) {
  return Bytes(ranks > 1
                   ? (elements + servers - 1) / servers * static_cast<std::int64_t>(sizeof(float))
                   : 0);
}

Result<void> PointToPointCommunicator::all_reduce(std::span<float> values,
                                                  std::span<std::byte> staging) {
  const int ranks = size();
  if (ranks == 1) return {};
  const auto n = static_cast<std::int64_t>(values.size());
  const int next = (rank() + 1) % ranks, previous = (rank() + ranks - 1) % ranks;
  auto chunk = [&](int index) {
    return part(values, shard_of(n, (index % ranks + ranks) % ranks, ranks));
  };
  for (int step = 0; step < ranks - 1; ++step) {
    const auto outgoing = chunk(rank() - step);
    const auto target = chunk(rank() - step - 1);
    const auto incoming = staged(staging, target.size());
    PLUTO_TRY(exchange(next, std::as_bytes(outgoing), previous, std::as_writable_bytes(incoming)));
    add_into(target, incoming);
  }
  for (int step = 0; step < ranks - 1; ++step) {
    PLUTO_TRY(exchange(next, std::as_bytes(chunk(rank() + 1 - step)), previous,
                       std::as_writable_bytes(chunk(rank() - step))));
  }
  return {};
}

Result<void> PointToPointCommunicator::reduce_scatter(std::span<float> values,
                                                      std::span<const int> owners,
                                                      std::span<std::byte> staging) {
  const int ranks = size();
  const auto n = static_cast<std::int64_t>(values.size());
  const int shards = static_cast<int>(owners.size());
  const auto mine = shard_owned_by(owners, rank());
  for (int distance = 1; distance < ranks; ++distance) {
    const int to = (rank() + distance) % ranks, from = (rank() + ranks - distance) % ranks;
    const auto theirs = shard_owned_by(owners, to);
    const auto outgoing = theirs ? part(values, shard_of(n, *theirs, shards)) : std::span<float>();
    const auto target = mine ? part(values, shard_of(n, *mine, shards)) : std::span<float>();
    const auto incoming = target.empty() ? std::span<float>() : staged(staging, target.size());
    PLUTO_TRY(exchange(to, std::as_bytes(outgoing), from, std::as_writable_bytes(incoming)));
    add_into(target, incoming);
  }
  return {};
}

Result<void> PointToPointCommunicator::all_gather_shards(std::span<float> values,
                                                         std::span<const int> owners) {
  const int ranks = size();
  const auto n = static_cast<std::int64_t>(values.size());
  const int shards = static_cast<int>(owners.size());
  const auto mine = shard_owned_by(owners, rank());
  const auto outgoing = mine ? part(values, shard_of(n, *mine, shards)) : std::span<float>();
  for (int distance = 1; distance < ranks; ++distance) {
    const int to = (rank() + distance) % ranks, from = (rank() + ranks - distance) % ranks;
    const auto theirs = shard_owned_by(owners, from);
    const auto incoming = theirs ? part(values, shard_of(n, *theirs, shards)) : std::span<float>();
    PLUTO_TRY(exchange(to, std::as_bytes(outgoing), from, std::as_writable_bytes(incoming)));
  }
  return {};
}

Result<void> PointToPointCommunicator::all_gather(std::span<const std::byte> block,
                                                  std::span<std::byte> all) {
  const int ranks = size();
  PLUTO_CHECK(all.size() == block.size() * static_cast<std::size_t>(ranks),
              "all_gather: size of the result");
  auto place = [&](int of) {
    return all.subspan(static_cast<std::size_t>(of) * block.size(), block.size());
  };
  if (!block.empty() && place(rank()).data() != block.data()) {
    std::memcpy(place(rank()).data(), block.data(), block.size());
  }
  for (int distance = 1; distance < ranks; ++distance) {
    const int to = (rank() + distance) % ranks, from = (rank() + ranks - distance) % ranks;
    PLUTO_TRY(exchange(to, block, from, place(from)));
  }
  return {};
}

Result<void> PointToPointCommunicator::broadcast(std::span<std::byte> values, int root) {
  const int ranks = size();
  const int position = (rank() + ranks - root) % ranks;
  auto at = [&](int p) { return (p + root) % ranks; };
  int reach = 1;  // positions below `reach` have the data
  for (; reach < ranks; reach *= 2) {
    if (position < reach && position + reach < ranks) {
      PLUTO_TRY(exchange(at(position + reach), values, rank(), {}));
    } else if (position >= reach && position < 2 * reach) {
      PLUTO_TRY(exchange(rank(), {}, at(position - reach), values));
    }
  }
  return {};
}

}  // namespace pluto
