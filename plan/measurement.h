#pragma once
// What was observed. Profiler and executor emit these, the database keeps them, the cost model
// reads them.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/document.h"
#include "base/result.h"
#include "base/units.h"
#include "model/op_schema.h"
#include "plan/cluster.h"
#include "plan/transformer_shape.h"

namespace pluto {

/// Where and under what a measurement was taken. Measurements compare only within one device
/// fingerprint.
struct RunContext {
  std::string host;
  std::string device;  ///< name of the device, e.g. "Intel Xeon ..."
  std::string
      device_fingerprint;  ///< device, threads, backend and software versions in one stable text
  std::string taken_at;    ///< UTC, ISO 8601
  int busy_ranks =
      1;  ///< ranks of this host that computed at the same time (they share memory bandwidth)
  bool operator==(const RunContext&) const = default;
};

/// Median, relative spread (1.4826 MAD / median) and count of repeats.
struct Timing {
  Seconds median;
  double relative_spread = 0;
  std::int64_t count = 0;
  bool operator==(const Timing&) const = default;
};

struct OpMeasurement {
  OpSignature signature;
  std::string implementation;  ///< the kernel that ran, e.g. "jit:avx512_core"
  Timing time;
  Bytes workspace;  ///< scratch memory the kernel asked for
  bool operator==(const OpMeasurement&) const = default;
};

enum class CollectiveKind : std::uint8_t {
  kAllReduce,
  kReduceScatter,
  kAllGather,
  kBroadcast,
  kAllToAll,  ///< every rank has a part for every other
  kSend,      ///< one rank to one other
  kGather,    ///< every rank's part to one of them
};
const char* to_text(CollectiveKind kind);
Result<CollectiveKind> parse_collective_kind(std::string_view text);

/// One collective over `ranks` ranks. bytes: all_reduce, broadcast: of the whole buffer;
/// reduce_scatter: of the input; all_gather, gather: of the output (nccl-tests' convention);
/// all_to_all: of what one rank holds, its own part included; send: of the message.
struct CollectiveMeasurement {
  CollectiveKind kind = CollectiveKind::kAllReduce;
  Bytes bytes;
  int ranks = 1;
  std::string transport;  ///< "mpi", "in_process", "nccl"
  Timing time;
  double cpu_share = 0;  ///< processor time of the communicating thread over wall time
  bool operator==(const CollectiveMeasurement&) const = default;
};

/// Reading and preparing one sample.
struct InputMeasurement {
  std::string source;  ///< DataChoice::source
  Bytes bytes_per_sample;
  Timing time_per_sample;  ///< of one reader thread
  bool operator==(const InputMeasurement&) const = default;
};

/// Memory a worker process holds besides arena and data set: code, libraries, communicator.
struct ProcessMeasurement {
  Bytes overhead;
  int ranks = 1;
  bool operator==(const ProcessMeasurement&) const = default;
};

/// A stretch of training steps of one plan.
struct StepMeasurement {
  std::uint64_t plan = 0;  ///< fingerprint(Plan)
  std::int64_t first_step = 0;
  Timing step;
  Seconds compute, exposed_comm, exposed_input,
      update;           ///< of a typical step, which they sum to
  Bytes arena;          ///< allocated
  Bytes peak_resident;  ///< of the process
  bool operator==(const StepMeasurement&) const = default;
};

/// A point of the training curve.
struct ConvergencePoint {
  std::uint64_t plan = 0;
  std::int64_t step = 0, samples = 0;
  double loss = 0;
  std::optional<double> accuracy;  ///< on the test set, when it was evaluated here
  bool operator==(const ConvergencePoint&) const = default;
};

/// Steps of a transformer that another program trained: what the closed form is calibrated with.
struct TransformerStepMeasurement {
  TransformerShape shape;
  TransformerPlan plan;
  ClusterSpec cluster;
  Timing step;
  bool operator==(const TransformerStepMeasurement&) const = default;
};

struct Measurement {
  RunContext context;
  std::variant<OpMeasurement, CollectiveMeasurement, InputMeasurement, ProcessMeasurement,
               StepMeasurement, ConvergencePoint, TransformerStepMeasurement>
      what;
  bool operator==(const Measurement&) const = default;
};

/// JSON form: {"kind": "op", "context": {...}, ...}, units in the keys, plan fingerprints as 16
/// hexadecimal digits, signatures as to_text() writes them.
Value to_value(const Measurement& measurement);
/// Strict reverse; `where` as in ObjectReader. Errors: kInvalidInput with the place of the field.
Result<Measurement> measurement_from_value(const Value& value, const std::string& where);
/// "op", "collective", "input", "process", "step", "convergence", "transformer_step": the "kind" of
/// the JSON form.
const char* kind_text(const Measurement& measurement);

/// Takes measurements one by one, so that a long sweep is saved row by row and a killed one loses
/// nothing already recorded.
class MeasurementSink {
 public:
  virtual ~MeasurementSink() = default;
  /// Durable when it returns. Errors: kIo.
  virtual Result<void> record(const Measurement& measurement) = 0;
};

}  // namespace pluto
