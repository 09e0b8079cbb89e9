#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <numeric>
#include <unordered_set>

#include "base/statistics.h"
#include "profiler/agreement.h"
#include "profiler/profile.h"
#include "runtime/host.h"

namespace pluto {

namespace {

using Clock = std::chrono::steady_clock;

/// Buffers of the largest call, so that the sweep allocates once.
struct Buffers {
  std::vector<float> values;
  std::vector<std::byte> staging;
  std::vector<int> owners;
};

/// `bytes` in CollectiveMeasurement's convention.
Result<void> call(Communicator& communicator, CollectiveKind kind, Bytes bytes, Buffers& buffers) {
  const auto count = static_cast<std::size_t>(bytes.value()) / sizeof(float);
  const std::span<float> values = std::span(buffers.values).first(count);
  switch (kind) {
    case CollectiveKind::kAllReduce:
      return communicator.all_reduce(values, buffers.staging);
    case CollectiveKind::kReduceScatter:
      return communicator.reduce_scatter(values, buffers.owners, buffers.staging);
    case CollectiveKind::kAllGather:
      return communicator.all_gather_shards(values, buffers.owners);
    case CollectiveKind::kBroadcast:
      return communicator.broadcast(std::as_writable_bytes(values), 0);
    case CollectiveKind::kAllToAll:
    case CollectiveKind::kSend:
    case CollectiveKind::kGather:
      break;  // no task runs them yet
  }
  return internal_error(fmt::format("the communicator has no {}", to_text(kind)));
}

/// Times of one repeat on the slowest rank, known to every rank.
struct RepeatTime {
  double wall = 0, processor = 0;
};
Result<RepeatTime> timed(Communicator& communicator, CollectiveKind kind, Bytes bytes,
                         Buffers& buffers) {
  PLUTO_TRY(communicator.barrier());
  const double processor = processor_seconds_of_thread();
  const auto start = Clock::now();
  PLUTO_TRY(call(communicator, kind, bytes, buffers));
  RepeatTime mine;
  mine.wall = std::chrono::duration<double>(Clock::now() - start).count();
  mine.processor = processor_seconds_of_thread() - processor;
  std::vector<RepeatTime> all(static_cast<std::size_t>(communicator.size()));
  PLUTO_TRY(communicator.all_gather(std::as_bytes(std::span(&mine, 1)),
                                    std::as_writable_bytes(std::span(all))));
  return *std::max_element(all.begin(), all.end(), [](const RepeatTime& a, const RepeatTime& b) {
    return a.wall < b.wall;
  });
}

std::vector<Bytes> sizes_up_to(Bytes largest) {
  constexpr std::int64_t kSmallest = 1024, kFactor = 4;
  std::vector<Bytes> sizes;
  for (std::int64_t size = kSmallest; size < largest.value(); size *= kFactor)
    sizes.emplace_back(size);
  sizes.emplace_back(std::max(kSmallest, (largest.value() + 3) / 4 * 4));
  return sizes;
}

}  // namespace

Result<ProfileOutcome> profile_collectives(Communicator& communicator, Bytes largest,
                                           std::span<const std::string> known,
                                           const RunContext& context, const ProfileLimits& limits,
                                           MeasurementSink& sink, const ProfileProgress& progress) {
  ProfileOutcome outcome;
  if (communicator.size() < 2) return outcome;
  const std::unordered_set<std::string> have(known.begin(), known.end());
  struct Call {
    CollectiveKind kind;
    Bytes bytes;
  };
  std::vector<Call> calls;
  for (const Bytes bytes : sizes_up_to(largest)) {
    for (const CollectiveKind kind :
         {CollectiveKind::kAllReduce, CollectiveKind::kReduceScatter, CollectiveKind::kAllGather}) {
      if (have.contains(fmt::format("{} {}", to_text(kind), bytes.value()))) {
        ++outcome.already_known;
      } else {
        calls.push_back({kind, bytes});
      }
    }
  }
  if (calls.empty()) return outcome;

  Buffers buffers;
  buffers.values.assign(
      static_cast<std::size_t>(sizes_up_to(largest).back().value()) / sizeof(float), 1.0F);
  const auto count = static_cast<std::int64_t>(buffers.values.size());
  buffers.owners.resize(static_cast<std::size_t>(communicator.size()));
  std::iota(buffers.owners.begin(), buffers.owners.end(), 0);
  buffers.staging.resize(static_cast<std::size_t>(
      std::max(all_reduce_staging(count, communicator.size()),
               reduce_scatter_staging(count, communicator.size(), communicator.size()))
          .value()));
  const auto start = Clock::now();
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const Call& one = calls[i];
    std::vector<double> walls, shares;
    bool done = false;
    for (int repeat = -1; !done; ++repeat) {
      PLUTO_ASSIGN(const RepeatTime time, timed(communicator, one.kind, one.bytes, buffers));
      // Sums would grow without bound; the values do not matter to the time.
      std::fill(buffers.values.begin(), buffers.values.begin() + one.bytes.value() / 4, 1.0F);
      if (repeat < 0) continue;
      walls.push_back(time.wall);
      shares.push_back(std::min(1.0, time.processor / time.wall));
      const auto repeats = static_cast<int>(walls.size());
      const double elapsed = std::chrono::duration<double>(Clock::now() - start).count();
      const bool tight = repeats >= limits.min_repeats &&
                         relative_half_width(summarize(walls)) <= limits.relative_half_width;
      PLUTO_ASSIGN(done, leader_decides(&communicator, tight || repeats >= limits.max_repeats ||
                                                           elapsed > limits.max_time.value()));
    }
    if (communicator.rank() == 0) {
      const Summary summary = summarize(walls);
      CollectiveMeasurement measurement{one.kind,
                                        one.bytes,
                                        communicator.size(),
                                        communicator.transport(),
                                        {Seconds(summary.median), summary.relative_spread,
                                         static_cast<std::int64_t>(summary.count)},
                                        median(shares)};
      PLUTO_TRY(sink.record({context, measurement}));
      ++outcome.measured;
    }
    if (progress)
      progress(static_cast<double>(i + 1) / static_cast<double>(calls.size()),
               fmt::format("{} of {}", to_text(one.kind), to_text(one.bytes)));
    const double elapsed = std::chrono::duration<double>(Clock::now() - start).count();
    PLUTO_ASSIGN(const bool late, leader_decides(&communicator, elapsed > limits.max_time.value()));
    if (late && i + 1 < calls.size()) {
      outcome.complete = false;
      break;
    }
  }
  return outcome;
}

}  // namespace pluto
