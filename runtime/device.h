#pragma once
// A device runs kernels compiled for one op instance. Backends: reference (plain loops, the
// oracle), cpu (oneDNN and own kernels), cuda (a loadable shared object).

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "model/op_schema.h"

namespace pluto {

/// Run-time scalars of a step; docs/operators.md says who reads which.
struct StepScalars {
  double learning_rate = 0;
  double loss_scale = 1;  ///< 1 / global batch
  std::uint64_t seed = 0;
  std::int64_t step = 0;
  int micro_index = 0;
  std::int64_t sample_offset =
      0;  ///< global index, within the step, of the first sample of this micro-batch
  bool training = true;
  /// Of a model split over ranks: which part of the sequence, the experts and the vocabulary is the
  /// rank's.
  std::int64_t sequence_part = 0, expert_part = 0, tensor_part = 0;
};

/// Device pointers in the operand order of docs/operators.md.
struct KernelArguments {
  std::span<const void* const> inputs;
  std::span<void* const> outputs;
  std::span<void* const> updates;
  void* workspace = nullptr;  ///< at least Kernel::workspace() bytes, 64-byte aligned
  StepScalars scalars;
};

/// One op instance bound to its shapes. run() allocates nothing, is asynchronous on devices with
/// streams, and is deterministic. Not thread-safe; different kernels of one device may not run at
/// the same time on a CPU device.
class Kernel {
 public:
  virtual ~Kernel() = default;
  virtual void run(const KernelArguments& arguments) = 0;
  virtual Bytes workspace() const { return Bytes(0); }
  virtual std::string implementation() const = 0;  ///< e.g. "reference", "jit:avx512_core"
};

/// Everything that determines a kernel: the op, its types, its micro-batch.
struct KernelRequest {
  OpSignature signature;
  std::vector<TensorType> updates;
};

/// An owned piece of device memory.
class DeviceBuffer {
 public:
  virtual ~DeviceBuffer() = default;
  virtual void* data() = 0;
  virtual Bytes size() const = 0;
};

/// A place to compute. Thread-safe unless stated.
class Device {
 public:
  virtual ~Device() = default;
  virtual std::string name() const = 0;  ///< "Intel(R) Xeon(R) ...", "NVIDIA H100 ..."
  /// Backend, device, threads and library versions: two measurements compare only when this is
  /// equal.
  virtual std::string fingerprint() const = 0;
  virtual Bytes memory() const = 0;  ///< total memory of the device
  virtual bool host_memory() const {
    return true;
  }  ///< whether the host reads and writes its buffers directly
  /// Errors: kUnsupported naming kind, pass and backend; kDevice.
  virtual Result<std::unique_ptr<Kernel>> compile(const KernelRequest& request) = 0;
  /// Zero-filled, 64-byte aligned, every page touched. Errors: kDevice with the amount asked for
  /// and what is there.
  virtual Result<std::unique_ptr<DeviceBuffer>> allocate(Bytes size) = 0;
  virtual void copy_to_device(void* destination, const void* host_source, Bytes size) = 0;
  virtual void copy_to_host(void* host_destination, const void* source, Bytes size) = 0;
  virtual void synchronize() = 0;  ///< until everything submitted has finished
};

}  // namespace pluto
