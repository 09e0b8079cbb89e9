#include <chrono>

#include "base/statistics.h"
#include "profiler/profile.h"

namespace pluto {

Result<ProfileOutcome> profile_input(const std::string& source, Bytes bytes_per_sample,
                                     const std::function<void(std::int64_t sample)>& read_sample,
                                     std::int64_t samples, const RunContext& context,
                                     const ProfileLimits& limits, MeasurementSink& sink) {
  using Clock = std::chrono::steady_clock;
  ProfileOutcome outcome;
  if (samples <= 0) return outcome;
  const auto start = Clock::now();
  // One repeat reads a block, so that the clock does not count; blocks walk through the data in
  // strides, as shuffled training does.
  constexpr std::int64_t kBlock = 64, kStride = 7919;
  std::vector<double> seconds;
  std::int64_t position = 0;
  for (;;) {
    const auto block_start = Clock::now();
    for (std::int64_t i = 0; i < kBlock; ++i) read_sample((position += kStride) % samples);
    seconds.push_back(std::chrono::duration<double>(Clock::now() - block_start).count() /
                      static_cast<double>(kBlock));
    const auto repeats = static_cast<int>(seconds.size());
    const double elapsed = std::chrono::duration<double>(Clock::now() - start).count();
    if (elapsed > limits.max_time.value() || repeats >= limits.max_repeats) break;
    if (repeats >= limits.min_repeats &&
        relative_half_width(summarize(seconds)) <= limits.relative_half_width)
      break;
  }
  const Summary summary = summarize(seconds);
  PLUTO_TRY(
      sink.record({context, InputMeasurement{source,
                                             bytes_per_sample,
                                             {Seconds(summary.median), summary.relative_spread,
                                              static_cast<std::int64_t>(summary.count)}}}));
  outcome.measured = 1;
  return outcome;
}

}  // namespace pluto
