#pragma once
// Tables of measured training steps of models of the zoo: data/measured/*.csv in one form.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "costmodel/frameworks.h"
#include "plan/catalog.h"
#include "plan/cluster.h"
#include "plan/job.h"

namespace pluto {

/// kFp32: no TF32, tf32: products round to it, mixed: products and activations in 16 bits.
enum class StepPrecision : std::uint8_t { kFp32, kTf32, kMixed };
const char* to_text(StepPrecision precision);  ///< "fp32", "tf32", "mixed"
Result<StepPrecision> parse_step_precision(std::string_view text);

/// Where gradients meet. kServerCpu: variables in the memory of the host. kServerGpu: spread over
/// the GPUs. kServerHosts: summed inside each host, then variables spread over the hosts.
enum class StepSync : std::uint8_t { kAllReduce, kServerCpu, kServerGpu, kServerHosts };
const char* to_text(StepSync sync);  ///< "all_reduce", "server_cpu", "server_gpu", "server_hosts"
Result<StepSync> parse_step_sync(std::string_view text);

/// A kind of node that tables name.
struct Machine {
  NodeSpec node;
  bool interleaved = false;  ///< its users number ranks across nodes first
};

/// A row: what ran, and what came out. step is 0 when the row has no time.
struct TrainingRow {
  ModelChoice model;
  ClusterSpec cluster;  ///< as many nodes, and ranks on each of them, as took part
  std::string machine;
  bool interleaved = false;  ///< ranks next to each other are on different nodes
  int gpus = 1;
  std::int64_t batch = 1;  ///< of one GPU and micro-batch
  int accumulation = 1;
  StepPrecision precision = StepPrecision::kFp32;
  std::string framework;
  std::string optimizer;  ///< "sgd", "momentum", "adam"; "none": forward and backward only
  StepSync sync = StepSync::kAllReduce;
  bool reads_data = false;  ///< false: synthetic samples
  Seconds step;
  std::optional<Seconds> exposed_comm;  ///< what the table says of it
  std::optional<Bytes> memory;          ///< peak of the device as the driver sees it
  bool out_of_memory = false;
  std::string note, source;
  int line = 0;
};

/// Named nodes (machines.csv). Errors: kNotFound, kInvalidInput with file:line.
Result<std::map<std::string, Machine>> read_machines(const std::string& path,
                                                     const Catalog& catalog);
/// Columns as data/README.md describes them. Errors: kNotFound, kInvalidInput with file:line; an
/// unknown machine or framework is one.
Result<std::vector<TrainingRow>> read_training_points(
    const std::string& path, const std::map<std::string, Machine>& machines,
    const FrameworkTable& frameworks);

}  // namespace pluto
