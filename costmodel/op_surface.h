#pragma once
// How long a device takes for an OpShape: a roofline whose two roofs bend with the shape.

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "costmodel/op_shape.h"

namespace pluto {

/// The numbers of a datasheet that a surface scales.
struct SurfaceDevice {
  double peak = 0;        ///< operations per second of the shape's arithmetic
  double plain_peak = 0;  ///< of f32 without tensor cores: what unaligned shapes fall back to
  double bandwidth = 0;   ///< bytes per second
  double multiprocessors = 1;
  double cache = 0;  ///< bytes
};

/// What is fitted per class, arithmetic and generation. Each class uses some of them.
enum class Knob : std::uint8_t {
  kPeak,          ///< f: fraction of the peak in the inner loop of an endless tile
  kTile,          ///< h: e(a, c) = 1 / (1 + h (1/a + 1/c)) of a tile of a x c results
  kDepth,         ///< k0: inner steps' worth of filling and emptying a tile
  kSustained,     ///< s: clock that lasts over the clock of the first milliseconds
  kBandwidth,     ///< g: fraction of the memory bandwidth
  kRamp,          ///< r: tiles per multiprocessor that reach half of it
  kCacheGain,     ///< q: how much faster what fits the cache moves
  kFloor,         ///< seconds per op
  kStep,          ///< seconds per time step of a recurrent layer
  kBackwardData,  ///< rate of backward over forward
  kBackwardWeight,
  kWinograd2,  ///< rate of the products of F(2 x 2), fused, over the direct form's
  kWinograd4,  ///< of F(4 x 4), whose transforms go through memory
  kUnaligned,  ///< rate of unaligned half products over that of f32
  kReread,     ///< reads of a row too long for one pass, over compulsory traffic
  kRow,        ///< elements of the longest row that is read once
};
constexpr std::size_t kKnobCount = static_cast<std::size_t>(Knob::kRow) + 1;

struct KnobRange {
  std::string_view name;
  double start, least, most;  ///< of a fit
  double neutral;             ///< of a surface that does not use it
};
const KnobRange& range_of(Knob knob);

class OpSurface {
 public:
  OpSurface();  ///< every knob neutral
  double operator[](Knob knob) const { return values_[static_cast<std::size_t>(knob)]; }
  double& operator[](Knob knob) { return values_[static_cast<std::size_t>(knob)]; }
  bool operator==(const OpSurface&) const = default;

 private:
  std::array<double, kKnobCount> values_{};
};

/// kSingle: one op alone after a pause, as op benchmarks run; kSteady: inside a long run, when the
/// clock has settled.
enum class Load : std::uint8_t { kSingle, kSteady };

/// Formula, products: for tiles a x c of a fixed list and splits s of the inner axis,
///   tiles = ceil(m/a) ceil(n/c) batch s,  x = tiles / multiprocessors,
///   waves = x <= 1 ? 1 : x + 0.8 (ceil(x) - x),
///   compute = waves 2 a c (k/s + k0) multiprocessors / (peak f clock e(a, c)),
///   traffic = (bytes + splits' partial sums) / (bandwidth g x/(x + r)), less by the cache,
///   t = (compute^4 + traffic^4)^(1/4); the least over tiles and splits counts, as libraries
///   choose. clock = s + (1 - s) / (1 + compute / 5 ms) for kSingle, s for kSteady. Cache: a share
///   1 / (1 + (bytes / cache)^3) of the traffic moves q times faster.
/// A convolution takes the least of that and Winograd's F(2), F(4). Others: bytes / (bandwidth g)
/// with long rows read again. Plus the floor. Never decreases with work, never increases with peak
/// or bandwidth.
double surface_seconds(const OpShape& shape, const SurfaceDevice& device, const OpSurface& surface,
                       Load load);

}  // namespace pluto
