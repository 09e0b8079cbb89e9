#pragma once
// A cost source as a framework runs it: mixed precision, layouts, parameter servers in the host.

#include "costmodel/cost_source.h"
#include "costmodel/frameworks.h"
#include "costmodel/interference.h"
#include "costmodel/training_points.h"

namespace pluto {

/// What is known besides the framework about one run.
struct FrameworkRun {
  FrameworkCosts framework;
  StepPrecision precision = StepPrecision::kFp32;
  StepSync sync = StepSync::kAllReduce;
  bool interleaved = false;         ///< neighbours of a ring are on different nodes
  GenerationCosts generation = {};  ///< of the device
  double slower = 1;  ///< by how much operators are stretched because the host issues too slowly
  BytesPerSecond host_bandwidth{};  ///< FrameworkTable::host_bandwidth
  const InterferenceTable* interference =
      nullptr;  ///< of copies to and from the host; absent: they slow nothing. Must outlive the run
};

/// Wraps a source. Pure and thread-safe; the wrapped source must outlive it.
///
/// Formula, mixed: all floating operands in 16 bits but those of updates and losses; an update also
///   casts its parameter (6 bytes per element at the rate of element-wise operators).
/// Formula, transposes: a half convolution moves its input and output once more each.
/// Formula, time: (surface * kernels (half_kernels where mixed) + transposes) * slower.
/// Formula, server_cpu and server_hosts, push or pull of n bytes by L ranks of N nodes:
///   alpha_i + n max(1 / b_i, L / H) and, for N > 1, alpha_e + n (N-1)/N / b_e, b_i the link to the
///   host, H = host_bandwidth. Gradients of a node meet in its host before they cross.
/// Source: counted; Micikevicius et al. 2018 (what mixed precision keeps in 32 bits); NVIDIA, Deep
///   Learning Performance (tensor cores want channels last, else cuDNN transposes).
/// Valid for: CNNs and transformers in frameworks that run one kernel per operator. Ignores: fused
///   optimizers, NUMA, incast. Test: costmodel/framework_source_test.cc.
class FrameworkSource : public CostSource {
 public:
  FrameworkSource(const CostSource& source, const FrameworkRun& run) : source_(source), run_(run) {}

  OpCost op(const OpSignature& signature, const DeviceSpec& device, int busy_ranks) const override;
  CollectiveCost collective(const CollectiveCall& call, const ClusterSpec& cluster) const override;
  OpCost input_sample(const std::string& source, Bytes bytes) const override;
  std::optional<Bytes> process_overhead() const override { return source_.process_overhead(); }
  std::int64_t watermark() const override { return source_.watermark(); }

 private:
  /// While a device waits for its host anyway, what it loses costs nothing.
  double lost_share(double share) const;

  const CostSource& source_;
  FrameworkRun run_;
};

}  // namespace pluto
