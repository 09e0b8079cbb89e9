#pragma once
// Streams of one device that run at once slow each other: data/interference.json.

#include <array>
#include <map>
#include <string>

#include "base/result.h"
#include "costmodel/cost_source.h"

namespace pluto {

/// What runs beside compute. kCollective: between devices; kToHost, kToDevice: copies.
enum class BesideStream : std::uint8_t { kCollective, kToHost, kToDevice };
constexpr std::size_t kBesideStreamCount = 3;

/// Factors on the time of both of a pair while both run, at least 1.
struct PairSlowdown {
  double compute = 1, other = 1;
  /// Seconds of compute lost per second that the other would take alone, all of it under compute:
  /// (1 - 1/compute) other. What the closed form of transformers calls overlap_slowdown.
  double lost_per_second() const { return (1 - 1 / compute) * other; }
};

struct DeviceInterference {
  std::array<PairSlowdown, kBesideStreamCount> beside;
  bool measured = false;  ///< on a device of the generation
  double spread = 0;      ///< relative, of what is lost
};

struct InterferenceTable {
  std::map<std::string, DeviceInterference> generations;  ///< of DeviceSpec::generation
  DeviceInterference other;                               ///< of those not named
  double channels = 0;    ///< multiprocessors a collective across nodes keeps, per interface
  double directions = 1;  ///< factor on messages that leave and enter an interface at once

  const DeviceInterference& of(const DeviceSpec& device) const;

  /// Sets how the call shares a GPU of `node` with compute: evidence calibrated for a measured
  /// generation inside a node, else assumed. `nodes`: those the call is between.
  /// Formula: rate of a stream = 1 / its factor; cpu_share = 1 - 1 / compute, across nodes at most
  ///   channels * interfaces / multiprocessors.
  /// Source: Zhu et al. 2025 (Mist): one factor per stream of a combination; the measured factors
  ///   in the file. Valid for: streams that are busy throughout. Ignores: three streams at once
  ///   (the largest share counts), what a copy of the next batch costs (1 % of its time).
  /// Test: costmodel/interference_test.cc.
  void apply(BesideStream stream, const NodeSpec& node, int nodes, CollectiveCost& cost) const;
};

/// Strict; factors are at least 1. Errors: kNotFound, kInvalidInput with file:line.
Result<InterferenceTable> load_interference(const std::string& path);

}  // namespace pluto
