#pragma once
// The two cost sources: datasheet roofline, and measurements with interpolation in front of it.

#include <memory>
#include <span>

#include "costmodel/cost_source.h"
#include "plan/measurement.h"

namespace pluto {

struct RooflineOptions {
  std::string surfaces_path = {};  ///< data/op_surfaces.json; empty: fractions of the peak only
  bool tf32 = false;  ///< f32 products of gemm and conv run as TF32 where a device has it
  bool eager_attention = false;  ///< as frameworks without a fused kernel run it
  /// Half convolutions are the implicit product of tensors with channels last, at the rates of
  /// gemm; else at those measured with channels first.
  bool channels_last = false;
};

/// Analytic. On a GPU whose datasheet has multiprocessors: the fitted surface of its class
/// (op_surface.h), of the device itself (calibrated), else of its generation, of one alike or of
/// all devices (datasheet). Else max(flops / (peak * efficiency), bytes / (bandwidth * efficiency))
/// + launch floor. Collectives by closed forms over alpha and bandwidth, on GPUs by the NCCL model
/// with the constants of nccl.json beside the efficiency table. Source: Williams, Waterman,
/// Patterson 2009 (roofline). Errors: kNotFound, kInvalidInput with file:line of a table.
Result<std::unique_ptr<CostSource>> make_roofline_source(const std::string& efficiency_path,
                                                         const RooflineOptions& options = {});

/// A measurement and its database id.
struct CalibrationPoint {
  std::int64_t id = 0;
  Measurement measurement;
};
/// measured (same signature) > interpolated over micro-batch (same family) > calibrated roofline
/// (fallback times the geometric mean ratio measured / roofline of the same kind and pass on this
/// device) > fallback. Measurements of several busy_ranks: the nearest is used, exact first.
/// Collectives: measured sizes, piecewise linear between them, alpha-beta fit beyond; other rank
/// counts by the closed form scaled to the fit. Several measurements of the same thing: the newest
/// wins. `fallback` must outlive the source. `device`: the spec these measurements are of; other
/// devices go to the fallback.
std::unique_ptr<CostSource> make_measured_source(std::span<const CalibrationPoint> points,
                                                 const DeviceSpec& device,
                                                 const CostSource& fallback);

}  // namespace pluto
