#include "costmodel/op_surface.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace pluto {

namespace {

// Partly filled waves cost less than full ones: clocks rise, memory is freer.
constexpr double kWaveShare = 0.8;
// Starting the sum of split products.
constexpr double kSplitSeconds = 2e-6;
// How long a device holds the clock it cannot sustain.
constexpr double kBurstSeconds = 5e-3;

struct Tile {
  double rows, columns;
};
constexpr std::array<Tile, 11> kTiles = {{{256, 128},
                                          {128, 256},
                                          {128, 128},
                                          {128, 64},
                                          {64, 128},
                                          {64, 64},
                                          {64, 32},
                                          {32, 64},
                                          {32, 32},
                                          {128, 8},
                                          {8, 128}}};
constexpr std::array<double, 6> kSplits = {1, 2, 4, 8, 16, 32};

// (a^4 + b^4)^(1/4): the larger, and a little more where both matter.
double overlap(double a, double b) {
  const double a2 = a * a, b2 = b * b;
  return std::sqrt(std::sqrt(a2 * a2 + b2 * b2));
}

// The share of traffic time that is left when what fits the cache is faster.
double cache_factor(double bytes, const SurfaceDevice& device, double gain) {
  if (device.cache <= 0) return 1;
  const double ratio = bytes / device.cache;
  const double hit = 1 / (1 + ratio * ratio * ratio);
  return 1 - hit + hit / gain;
}

double clock(double compute, double sustained, Load load) {
  if (load == Load::kSteady) return sustained;
  return sustained + (1 - sustained) / (1 + compute / kBurstSeconds);
}

double product_seconds(const Product& product, double rate, const SurfaceDevice& device,
                       const OpSurface& surface, Load load) {
  const double tile_loss = surface[Knob::kTile], depth = surface[Knob::kDepth];
  const double ramp = surface[Knob::kRamp];
  const double per_processor = rate / device.multiprocessors;
  const double per_byte = cache_factor(product.bytes, device, surface[Knob::kCacheGain]) /
                          (device.bandwidth * surface[Knob::kBandwidth]);
  const double partial_sums = 8 * product.m * product.n * product.batch;  // written and read in f32
  double least = std::numeric_limits<double>::infinity();
  for (const Tile& tile : kTiles) {
    const double tiles =
        std::ceil(product.m / tile.rows) * std::ceil(product.n / tile.columns) * product.batch;
    const double efficiency = 1 / (1 + tile_loss * (1 / tile.rows + 1 / tile.columns));
    const double per_inner_step = 2 * tile.rows * tile.columns / (per_processor * efficiency);
    for (const double split : kSplits) {
      if (split > 1 && (split > product.k / 8 || tiles * split > 8 * device.multiprocessors)) break;
      const double x = tiles * split / device.multiprocessors;
      const double waves = x <= 1 ? 1 : x + kWaveShare * (std::ceil(x) - x);
      const double cold = waves * per_inner_step * (std::ceil(product.k / split) + depth);
      const double compute = cold / clock(cold, surface[Knob::kSustained], load);
      const double bytes = product.bytes + (split > 1 ? split * partial_sums : 0);
      const double traffic = bytes * per_byte * (1 + ramp / x);
      least = std::min(least, overlap(compute, traffic) + (split > 1 ? kSplitSeconds : 0));
    }
  }
  return least * product.repeats;
}

// m x n results per tile position; which two of (positions, in, out) are results depends on the
// pass.
Product winograd_product(const OpShape& shape, double outputs) {
  const WinogradShape& w = shape.winograd;
  const double edge = outputs + w.kernel - 1;
  const double positions = w.images * std::ceil(w.height / outputs) * std::ceil(w.width / outputs);
  Product product{positions, w.out_channels, w.in_channels, edge * edge};
  if (shape.pass == OpPass::kBackwardWeight) {
    product = {w.out_channels, w.in_channels, positions, edge * edge};
  } else if (shape.pass != OpPass::kForward) {
    product = {positions, w.in_channels, w.out_channels, edge * edge};
  }
  product.bytes = w.image_bytes + w.kernel_bytes;
  if (outputs > 2) {  // transformed operands are written and read
    product.bytes +=
        2 * shape.element_bytes * product.batch *
        (positions * (w.in_channels + w.out_channels) + w.in_channels * w.out_channels);
  }
  return product;
}

double pass_rate(const OpShape& shape, const OpSurface& surface) {
  if (shape.op_class != OpClass::kConv) return 1;
  if (shape.pass == OpPass::kBackwardWeight) return surface[Knob::kBackwardWeight];
  return shape.pass == OpPass::kForward ? 1 : surface[Knob::kBackwardData];
}

double products_seconds(const OpShape& shape, const SurfaceDevice& device, const OpSurface& surface,
                        Load load) {
  const bool tensor_cores = shape.arithmetic != Arithmetic::kF32;
  double rate = device.peak * surface[Knob::kPeak] * pass_rate(shape, surface);
  if (tensor_cores && !shape.aligned) {
    rate = std::min(rate, device.plain_peak * surface[Knob::kUnaligned]);
  }
  double sum = 0;
  for (const Product& product : shape.products) {
    sum += product_seconds(product, rate, device, surface, load);
  }
  if (shape.winograd.kernel > 0) {
    const double fused = product_seconds(winograd_product(shape, 2),
                                         rate * surface[Knob::kWinograd2], device, surface, load);
    const double apart = product_seconds(winograd_product(shape, 4),
                                         rate * surface[Knob::kWinograd4], device, surface, load);
    sum = std::min({sum, fused, apart});
  }
  if (shape.op_class == OpClass::kRecurrent) {
    const double backward = shape.pass == OpPass::kForward ? 1 : surface[Knob::kBackwardData];
    sum = (sum + shape.sequence * surface[Knob::kStep]) / backward;
  }
  return sum;
}

constexpr std::array<KnobRange, kKnobCount> kRanges = {{{"peak", 0.85, 0.02, 1.3, 1},
                                                        {"tile", 10, 0.1, 100, 0.1},
                                                        {"depth", 30, 1, 1000, 1},
                                                        {"sustained", 0.95, 0.3, 1, 1},
                                                        {"bandwidth", 0.75, 0.03, 1.1, 1},
                                                        {"ramp", 0.3, 0.001, 3, 0.001},
                                                        {"cache_gain", 1.3, 1, 5, 1},
                                                        {"floor_s", 6e-6, 1e-7, 2e-4, 0},
                                                        {"step_s", 1e-5, 1e-7, 3e-4, 0},
                                                        {"backward_data", 0.9, 0.2, 2, 1},
                                                        {"backward_weight", 0.8, 0.2, 2, 1},
                                                        {"winograd2", 0.6, 0.05, 1.5, 0.05},
                                                        {"winograd4", 0.7, 0.05, 1.5, 0.05},
                                                        {"unaligned", 0.8, 0.1, 4, 1},
                                                        {"reread", 0.4, 0.001, 4, 0},
                                                        {"row", 2048, 64, 1e6, 2048}}};

}  // namespace

const KnobRange& range_of(Knob knob) { return kRanges[static_cast<std::size_t>(knob)]; }

OpSurface::OpSurface() {
  for (std::size_t i = 0; i < kKnobCount; ++i) values_[i] = kRanges[i].neutral;
}

double surface_seconds(const OpShape& shape, const SurfaceDevice& device, const OpSurface& surface,
                       Load load) {
  const double floor = surface[Knob::kFloor];
  if (!shape.products.empty()) return products_seconds(shape, device, surface, load) + floor;
  // A row longer than one block holds is read once more; the step is softened for the fit.
  const double ratio = shape.row / surface[Knob::kRow];
  const double again =
      surface[Knob::kReread] * (shape.row > 0 ? ratio * ratio / (1 + ratio * ratio) : 0);
  return shape.bytes * (1 + again) * cache_factor(shape.bytes, device, surface[Knob::kCacheGain]) /
             (device.bandwidth * surface[Knob::kBandwidth]) +
         floor;
}

}  // namespace pluto
