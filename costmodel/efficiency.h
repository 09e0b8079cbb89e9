#pragma once
// data/efficiency.json: which fraction of a datasheet peak each class of op reaches.

#include <array>
#include <map>
#include <string>

#include "base/result.h"
#include "model/op.h"
#include "plan/cluster.h"

namespace pluto {

/// Ops that reach similar fractions of a device.
enum class OpClass : std::uint8_t {
  kGemm,
  kConv,
  kRecurrent,
  kAttention,
  kNormalization,
  kSoftmax,
  kPooling,
  kElementwise,
  kCopy,
  kLookup,
  kLoss,
  kUpdate,
};
constexpr std::size_t kOpClassCount = static_cast<std::size_t>(OpClass::kUpdate) + 1;
const char* to_text(OpClass op_class);
/// Communication kinds count as kCopy: what they cost is a collective, not an op.
OpClass class_of(OpKind kind);

struct ClassEfficiency {
  double flops = 1;            ///< fraction of the peak
  double bandwidth = 1;        ///< fraction of the memory bandwidth
  Seconds floor;               ///< per op: launch and start-up
  double relative_spread = 0;  ///< of the fit
  bool fitted = false;         ///< false: a guess, worth kAssumed
};

struct KindEfficiency {
  std::array<ClassEfficiency, kOpClassCount> classes;
  /// By how much each further busy rank of a host slows memory traffic: bandwidth / (1 + contention
  /// * (busy - 1)).
  double bandwidth_contention = 0;
  FlopsPerSecond assumed_peak;       ///< of a device without any stated peak
  BytesPerSecond assumed_bandwidth;  ///< of a device without a stated memory bandwidth
};

/// Reading and preparing a sample: seconds per sample + bytes / rate.
struct InputEfficiency {
  Seconds per_sample;
  BytesPerSecond rate;
};

struct EfficiencyTable {
  KindEfficiency cpu, gpu;
  std::map<std::string, InputEfficiency> inputs;  ///< by DataChoice::source; "other" always exists
  const KindEfficiency& of(DeviceKind kind) const { return kind == DeviceKind::kCpu ? cpu : gpu; }
};

/// Strict: every class of both kinds is there; fractions are in (0, 2]. Errors: kNotFound,
/// kInvalidInput with file:line.
Result<EfficiencyTable> load_efficiency(const std::string& path);

}  // namespace pluto
