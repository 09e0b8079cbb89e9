#pragma once
// What a training framework adds to the time its device needs: data/frameworks.json.

#include <map>
#include <string>

#include "base/result.h"
#include "base/units.h"

namespace pluto {

/// Constants of one framework of one era. Times are of the host, per step and rank.
struct FrameworkCosts {
  Seconds forward;           ///< to issue one forward operator
  Seconds backward;          ///< to issue one backward operator
  Seconds update;            ///< to issue the update of one parameter
  Seconds serial;            ///< per parameter, while the device waits
  Seconds half_serial;       ///< the same in mixed precision, which scales and checks gradients
  Seconds sample;            ///< a process cannot be fed faster, seconds per sample; 0: never seen
  Seconds jitter;            ///< standard deviation of a rank's step, ranks wait for the slowest
  double update_passes = 1;  ///< kernels an update is made of, each moving all of it
  double kernels = 1;        ///< time of kernels over that of the surfaces, single precision
  double half_kernels = 1;   ///< the same where the arithmetic is mixed
  bool fuse = false;         ///< batch norm, add and relu in one kernel
  bool channels_last = false;     ///< half convolutions as tensor cores want them
  bool transposes = false;        ///< half convolutions of tensors whose channels come first
  bool eager_attention = true;    ///< scores are written to memory
  Bytes context;                  ///< what a process holds on the device besides tensors
  double half_activations = 0.5;  ///< bytes of activations in mixed precision over those in single
  double slack = 1;               ///< what the process holds over what its tensors need
  double spread = 0;              ///< relative, of steps predicted with it
};

/// Time of operators over that of the surfaces on one generation of devices.
struct GenerationCosts {
  double kernels = 1;   ///< of all
  double products = 1;  ///< further, of what the surface of gemm answers
};

struct FrameworkTable {
  std::map<std::string, FrameworkCosts> frameworks;
  std::map<std::string, GenerationCosts> generations;  ///< those that differ
  /// What sums of gradients reach in the memory of a host.
  BytesPerSecond host_bandwidth;
};

/// Strict. Errors: kNotFound, kInvalidInput with file:line.
Result<FrameworkTable> load_frameworks(const std::string& path);

}  // namespace pluto
