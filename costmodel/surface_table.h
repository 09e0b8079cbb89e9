#pragma once
// data/op_surfaces.json: fitted surfaces by class, arithmetic, generation and device.

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "costmodel/op_surface.h"
#include "plan/cluster.h"

namespace pluto {

/// One fitted surface. Without `device` it is of a generation, without `generation` of all devices.
struct FittedSurface {
  OpClass op_class = OpClass::kGemm;
  Arithmetic arithmetic = Arithmetic::kF32;
  std::string generation, device;
  OpSurface surface;
  std::vector<Knob> knobs;  ///< what was fitted
  double spread = 0;        ///< cross-validated, see bench/fit_efficiency.cc
  std::int64_t samples = 0;
};

/// How near a surface is to the device it is asked for, nearest first.
enum class SurfaceOrigin : std::uint8_t { kDevice, kGeneration, kAlike, kAny };

class SurfaceTable {
 public:
  struct Answer {
    const FittedSurface* fitted = nullptr;
    SurfaceOrigin origin = SurfaceOrigin::kAny;
  };

  SurfaceTable() = default;
  /// `alike`: which measured generation stands for one never measured.
  SurfaceTable(std::vector<FittedSurface> surfaces, std::map<std::string, std::string> alike);

  /// The surface of the device, else of its generation, else of the generation it is alike, else of
  /// all devices; nullopt when the class was never measured in this arithmetic. Classes without
  /// measurements of their own use another's: attention gemm's; copy and update elementwise's. TF32
  /// uses the half surface of a generation, never a device's.
  std::optional<Answer> find(OpClass op_class, Arithmetic arithmetic,
                             const DeviceSpec& device) const;
  const std::vector<FittedSurface>& surfaces() const { return surfaces_; }
  const std::map<std::string, std::string>& alike() const { return alike_; }

 private:
  const FittedSurface* exact(OpClass op_class, Arithmetic arithmetic, const std::string& generation,
                             const std::string& device) const;

  std::vector<FittedSurface> surfaces_;  // sorted by key
  std::map<std::string, std::string> alike_;
};

/// nullopt when the datasheet lacks what a surface needs: multiprocessors, bandwidth, or the peak
/// of this arithmetic.
std::optional<SurfaceDevice> surface_device(const DeviceSpec& device, Arithmetic arithmetic);

/// Strict. Errors: kNotFound, kInvalidInput with file:line.
Result<SurfaceTable> load_surfaces(const std::string& path);
/// The text load_surfaces reads, one surface to a line.
std::string to_text(const SurfaceTable& table, const std::string& about);

}  // namespace pluto
