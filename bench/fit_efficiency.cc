// Fits data/op_surfaces.json to data/measured and prints how well it predicts what it has not seen.
//
//   fit_efficiency [--write] [--class NAME] [--worst]
//   fit_efficiency --models     whole models against the sum of their ops
//
// Each class and arithmetic is fitted three times: to all devices (any), to a generation, and from
// there to a device (its peak, bandwidth, clock and floor only). Cross-validation:
//   shapes  a fifth of the shapes is left out of generation and device fits, and predicted;
//   device  the device is left out: the rest of its generation predicts, or all others.
// Errors are |predicted / measured - 1|. The floor of the harness that measured is used in both,
// for harnesses differ in what they time; the table gets the least floor.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/document.h"
#include "base/statistics.h"
#include "bench/model_check.h"
#include "costmodel/measured_ops.h"
#include "costmodel/surface_fit.h"
#include "costmodel/surface_table.h"

namespace pluto::bench {
namespace {

constexpr int kFolds = 5;
constexpr std::size_t kMostSamples = 1000;  // per device of a fit; more change nothing but the time
constexpr double kAnySamples = 150;
// What starting a kernel costs where only a harness that waits for each op measured: as DeepBench
// and aiconfigurator, which keep the device busy, find for GEMM.
constexpr double kKernelFloor = 5e-6;
constexpr double kDevicePrior = 10;  // a device needs that many samples to move from its generation

const std::map<std::string, std::string> kAlike = {{"Kepler", "Maxwell"},
                                                   {"Ampere GA10x", "Ada"},
                                                   {"Ampere GA10x 300 W", "Ampere"},
                                                   {"CDNA 3", "CDNA 2"},
                                                   {"Turing TU102", "Volta"}};

constexpr const char* kAbout =
    "Written by bench/fit_efficiency from data/measured; do not edit. Each line is one surface of "
    "costmodel/op_surface.h: of a device, of a generation, or (neither named) of all devices. "
    "'spread' is 1.4826 times the median absolute log error under cross-validation: shapes left "
    "out "
    "for a device, devices left out for a generation and for all. 'alike': the measured generation "
    "that stands for one never measured (same design of multiprocessor, from memory). 'floor_s' is "
    "that "
    "of ops that follow each other; at most 5 us where only a harness that waits for each op "
    "measured.";

std::vector<Knob> knobs_of(OpClass op_class, Arithmetic arithmetic) {
  std::vector<Knob> knobs;
  switch (op_class) {
    case OpClass::kGemm:
      knobs = {Knob::kPeak,      Knob::kTile, Knob::kDepth,     Knob::kSustained,
               Knob::kBandwidth, Knob::kRamp, Knob::kCacheGain, Knob::kFloor};
      break;
    case OpClass::kConv:
      knobs = {Knob::kPeak,      Knob::kTile,     Knob::kDepth,        Knob::kBandwidth,
               Knob::kRamp,      Knob::kFloor,    Knob::kBackwardData, Knob::kBackwardWeight,
               Knob::kWinograd2, Knob::kWinograd4};
      break;
    case OpClass::kRecurrent:
      return {Knob::kPeak,      Knob::kTile,  Knob::kDepth, Knob::kBandwidth,   Knob::kRamp,
              Knob::kCacheGain, Knob::kFloor, Knob::kStep,  Knob::kBackwardData};
    case OpClass::kNormalization:
    case OpClass::kSoftmax:
      return {Knob::kBandwidth, Knob::kFloor, Knob::kReread, Knob::kRow};
    default:
      return {Knob::kBandwidth, Knob::kFloor};
  }
  if (arithmetic == Arithmetic::kHalf && op_class == OpClass::kConv)
    knobs.push_back(Knob::kUnaligned);
  return knobs;
}

OpSurface start_of(const std::vector<Knob>& knobs) {
  OpSurface surface;
  for (const Knob knob : knobs) surface[knob] = range_of(knob).start;
  return surface;
}

// From several starts, for there are local minima: small losses per tile against deep pipelines.
SurfaceFit fit_from_starts(const std::vector<SurfaceSample>& samples,
                           const std::vector<Knob>& knobs) {
  struct Start {
    double tile, depth, ramp;
  };
  std::optional<SurfaceFit> best;
  for (const Start& at : {Start{10, 30, 0.3}, Start{2, 150, 1}, Start{40, 5, 0.05}}) {
    SurfaceFitOptions options{knobs, start_of(knobs), {}, 0.05};
    for (const auto& [knob, value] :
         {std::pair(Knob::kTile, at.tile), std::pair(Knob::kDepth, at.depth),
          std::pair(Knob::kRamp, at.ramp)}) {
      if (std::find(knobs.begin(), knobs.end(), knob) != knobs.end()) options.start[knob] = value;
    }
    const SurfaceFit fit = fit_surface(samples, options);
    if (!best || fit.loss < best->loss) best = fit;
    if (std::find(knobs.begin(), knobs.end(), Knob::kTile) == knobs.end()) break;
  }
  return *best;
}

std::vector<Knob> device_knobs(const std::vector<Knob>& knobs) {
  std::vector<Knob> result;
  for (const Knob knob : knobs) {
    if (knob == Knob::kPeak || knob == Knob::kBandwidth || knob == Knob::kSustained ||
        knob == Knob::kFloor || knob == Knob::kStep) {
      result.push_back(knob);
    }
  }
  return result;
}

using Ops = std::vector<const MeasuredOp*>;

Ops where(const Ops& ops, const std::function<bool(const MeasuredOp&)>& condition) {
  Ops result;
  for (const auto* op : ops) {
    if (condition(*op)) result.push_back(op);
  }
  return result;
}

// At most kMostSamples of each device, in equal steps; each device weighs `weight` at most.
std::vector<SurfaceSample> samples_of(const Ops& ops, double weight) {
  std::map<std::string, Ops> devices;
  for (const auto* op : ops) devices[op->device].push_back(op);
  std::vector<SurfaceSample> samples;
  for (const auto& [name, of_device] : devices) {
    const std::size_t count = std::min(kMostSamples, of_device.size());
    for (std::size_t i = 0; i < count; ++i) {
      samples.push_back(of_device[i * of_device.size() / count]->sample);
      samples.back().weight = std::min(1.0, weight / static_cast<double>(count));
    }
  }
  return samples;
}

struct Fitter {
  std::vector<Knob> knobs;
  SurfaceFit any(const Ops& ops) const {
    return fit_from_starts(samples_of(ops, kAnySamples), knobs);
  }
  SurfaceFit generation(const Ops& ops) const {
    return fit_from_starts(samples_of(ops, kMostSamples), knobs);
  }
  SurfaceFit device(const Ops& ops, const SurfaceFit& from) const {
    return fit_surface(samples_of(ops, kMostSamples),
                       {device_knobs(knobs), from.surface, from.floors, kDevicePrior});
  }
};

double predict(const MeasuredOp& op, const SurfaceFit& fit) {
  OpSurface surface = fit.surface;
  const auto source = static_cast<std::size_t>(op.sample.source);
  if (source < fit.floors.size()) surface[Knob::kFloor] = fit.floors[source];
  return surface_seconds(op.sample.shape, op.sample.device, surface, Load::kSingle);
}

struct Errors {
  std::vector<double> logs;
  void add(const MeasuredOp& op, const SurfaceFit& fit) {
    logs.push_back(std::log(predict(op, fit) / op.sample.seconds));
  }
  void append(const Errors& other) {
    logs.insert(logs.end(), other.logs.begin(), other.logs.end());
  }
  double at(double q) const {
    std::vector<double> errors;
    for (const double log : logs) errors.push_back(std::abs(std::exp(log) - 1));
    return errors.empty() ? 0 : quantile(errors, q);
  }
  double spread() const {
    std::vector<double> sizes;
    for (const double log : logs) sizes.push_back(std::abs(log));
    return sizes.empty() ? 0 : 1.4826 * median(sizes);
  }
};

void print_row(const std::string& name, const Errors& fitted, const Errors& shapes,
               const Errors& device) {
  const auto cell = [](const Errors& errors) {
    return errors.logs.empty()
               ? std::string("            -")
               : fmt::format("{:5.1f} {:6.1f} %", 100 * errors.at(0.5), 100 * errors.at(0.9));
  };
  std::printf("  %-40s %6zu   %s   %s   %s\n", name.c_str(), fitted.logs.size(),
              cell(fitted).c_str(), cell(shapes).c_str(), cell(device).c_str());
}

void print_worst(Ops ops, const SurfaceFit& fit) {
  const auto log_error = [&](const MeasuredOp* op) {
    return std::log(predict(*op, fit) / op->sample.seconds);
  };
  std::sort(ops.begin(), ops.end(),
            [&](const auto* a, const auto* b) { return log_error(a) < log_error(b); });
  constexpr std::size_t kShown = 24;
  for (std::size_t i = 0; i < kShown && i < ops.size(); ++i) {
    const auto& op = *ops[i * (ops.size() - 1) / (kShown - 1)];
    std::printf("      %+5.2f  %9.1f us  %s %s", log_error(&op), op.sample.seconds * 1e6,
                source_name(op.sample.source), to_text(op.sample.shape.pass));
    for (const auto& product : op.sample.shape.products) {
      std::printf("  (%g %g %g) x %g x %g", product.m, product.n, product.k, product.batch,
                  product.repeats);
    }
    std::printf("  %.3g MB row %g\n", op.sample.shape.bytes * 1e-6, op.sample.shape.row);
  }
  std::printf("     ");
  for (std::size_t i = 0; i < kKnobCount; ++i) {
    std::printf(" %s %.3g", std::string(range_of(static_cast<Knob>(i)).name).c_str(),
                fit.surface[static_cast<Knob>(i)]);
  }
  for (const double floor : fit.floors) std::printf(" %.3g", floor);
  std::printf("\n");
}

// The floor of ops that follow each other, which is what a step is made of.
void set_floor(const Ops& ops, FittedSurface& surface) {
  const bool busy = std::any_of(ops.begin(), ops.end(), [](const MeasuredOp* op) {
    return op->sample.source != kWaitingSource;
  });
  double& floor = surface.surface[Knob::kFloor];
  if (!busy) floor = std::min(floor, kKernelFloor);
}

void fit_class(OpClass op_class, Arithmetic arithmetic, const Ops& ops, const MeasuredOps& all,
               bool show_worst, std::vector<FittedSurface>& table) {
  const Fitter fitter{knobs_of(op_class, arithmetic)};
  std::map<std::string, Ops> generations;
  for (const auto* op : ops) generations[op->generation].push_back(op);
  std::printf("%s %s\n", to_text(op_class), to_text(arithmetic));

  // Half products without tensor cores (P100) say nothing about devices that have them.
  const Ops tensor_cores = where(ops, [&](const MeasuredOp& op) {
    return arithmetic == Arithmetic::kF32 ||
           op.sample.device.peak > 3 * op.sample.device.plain_peak;
  });
  const SurfaceFit any = fitter.any(tensor_cores);
  Errors all_fitted, all_shapes, all_devices;
  std::vector<FittedSurface> of_generations;
  for (const auto& entry : generations) {
    const std::string& generation = entry.first;
    const Ops& of_generation = entry.second;
    const SurfaceFit fit = fitter.generation(of_generation);
    std::vector<SurfaceFit> without_fold;
    for (int fold = 0; fold < kFolds; ++fold) {
      without_fold.push_back(fitter.generation(where(of_generation, [&](const MeasuredOp& op) {
        return op.fold % kFolds != static_cast<std::uint64_t>(fold);
      })));
    }
    std::map<std::string, Ops> devices;
    for (const auto* op : of_generation) devices[op->device].push_back(op);
    const Ops others =
        where(tensor_cores, [&](const MeasuredOp& op) { return op.generation != generation; });
    Errors left_out;
    for (const auto& device_entry : devices) {
      const std::string& device = device_entry.first;
      const Ops& of_device = device_entry.second;
      const SurfaceFit own = fitter.device(of_device, fit);
      Errors fitted, shapes, alone;
      for (const auto* op : of_device) fitted.add(*op, own);
      for (int fold = 0; fold < kFolds; ++fold) {
        const auto held = [&](const MeasuredOp& op) {
          return op.fold % kFolds == static_cast<std::uint64_t>(fold);
        };
        const Ops kept = where(of_device, [&](const MeasuredOp& op) { return !held(op); });
        if (kept.empty()) continue;
        const SurfaceFit seen = fitter.device(kept, without_fold[static_cast<std::size_t>(fold)]);
        for (const auto* op : where(of_device, held)) shapes.add(*op, seen);
      }
      const bool has_sisters = devices.size() > 1;
      if (has_sisters || !others.empty()) {
        const SurfaceFit foreign =
            has_sisters
                ? fitter.generation(where(
                      of_generation, [&](const MeasuredOp& op) { return op.device != device; }))
                : fitter.any(others);
        for (const auto* op : of_device) alone.add(*op, foreign);
      }
      print_row(device + " (" + generation + ")", fitted, shapes, alone);
      if (show_worst) print_worst(of_device, own);
      std::vector<std::string> names = {device};
      if (const auto also = all.also.find(device); also != all.also.end()) {
        for (const auto& name : also->second) {
          if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
        }
      }
      for (const auto& name : names) {
        table.push_back({op_class, arithmetic, generation, name, own.surface, fitter.knobs,
                         shapes.spread(), static_cast<std::int64_t>(of_device.size())});
        set_floor(of_device, table.back());
      }
      left_out.append(alone);
      all_fitted.append(fitted);
      all_shapes.append(shapes);
    }
    of_generations.push_back({op_class, arithmetic, generation, "", fit.surface, fitter.knobs,
                              devices.size() > 1 ? left_out.spread() : 0,
                              static_cast<std::int64_t>(of_generation.size())});
    set_floor(of_generation, of_generations.back());
    all_devices.append(left_out);
  }
  print_row("all", all_fitted, all_shapes, all_devices);
  const double spread = std::max(all_devices.spread(), all_shapes.spread());
  for (auto& surface : of_generations) {
    if (surface.spread <= 0) surface.spread = spread;  // no sister to leave out
    table.push_back(surface);
  }
  table.push_back({op_class, arithmetic, "", "", any.surface, fitter.knobs, spread,
                   static_cast<std::int64_t>(ops.size())});
  set_floor(ops, table.back());
}

// One device gets its surfaces from whoever measured it; a sister named by several takes the first.
void drop_doubles(std::vector<FittedSurface>& table) {
  std::set<std::string> seen;
  std::vector<FittedSurface> kept;
  for (auto& surface : table) {
    if (seen.insert(fmt::format("{}|{}|{}|{}", to_text(surface.op_class),
                                to_text(surface.arithmetic), surface.generation, surface.device))
            .second) {
      kept.push_back(std::move(surface));
    }
  }
  table = std::move(kept);
}

int fail(const Error& error) {
  std::fprintf(stderr, "%s\n", error.message.c_str());
  return 1;
}

int run(const std::vector<std::string>& args) {
  const std::string data = std::string(PLUTO_SOURCE_DIR) + "/data";
  const bool write = std::find(args.begin(), args.end(), "--write") != args.end();
  std::string only;
  for (std::size_t i = 0; i + 1 < args.size(); ++i) {
    if (args[i] == "--class") only = args[i + 1];
  }
  const bool show_worst = std::find(args.begin(), args.end(), "--worst") != args.end();
  const auto catalog = Catalog::load(data + "/catalog");
  if (!catalog.ok()) return fail(catalog.error());
  if (std::find(args.begin(), args.end(), "--models") != args.end()) {
    const auto checked = check_models(data, *catalog);
    return checked.ok() ? 0 : fail(checked.error());
  }
  const auto measured = read_measured_ops(data + "/measured", op_tables(), *catalog);
  if (!measured.ok()) return fail(measured.error());
  for (const auto& [what, why] : measured->left_out) {
    std::printf("left out: %s (%s)\n", what.c_str(), why.c_str());
  }
  std::map<std::pair<OpClass, Arithmetic>, Ops> groups;
  for (const auto& op : measured->ops) {
    groups[{op.sample.shape.op_class, op.sample.shape.arithmetic}].push_back(&op);
  }
  std::printf("%-42s %6s   %-14s   %-14s   %-14s\n", "median and p90 of |predicted/measured - 1|",
              "ops", "fitted", "shapes left out", "device left out");
  std::vector<FittedSurface> table;
  for (const auto& [key, ops] : groups) {
    if (!only.empty() && only != to_text(key.first)) continue;
    fit_class(key.first, key.second, ops, *measured, show_worst, table);
    std::fflush(stdout);
  }
  drop_doubles(table);
  const SurfaceTable surfaces(std::move(table), kAlike);
  if (!write) return 0;
  const auto written = write_file(data + "/op_surfaces.json", to_text(surfaces, kAbout));
  return written.ok() ? 0 : fail(written.error());
}

}  // namespace
}  // namespace pluto::bench

int main(int argc, char** argv) { return pluto::bench::run({argv + 1, argv + argc}); }
