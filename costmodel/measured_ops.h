#pragma once
// data/measured: op times that others measured, as signatures of ours.

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "costmodel/surface_fit.h"
#include "plan/catalog.h"

namespace pluto {

struct MeasuredOp {
  SurfaceSample sample;
  std::string device;      ///< in the catalog
  std::string generation;  ///< of the device
  std::uint64_t fold = 0;  ///< equal for equal shapes on all devices
  std::string what;        ///< the signature as text
  int line = 0;            ///< of its table
};

/// The harnesses, by SurfaceSample::source.
constexpr int kWaitingSource = 1;     ///< NeuSight: starts an op when the one before has ended
const char* source_name(int source);  ///< "DeepBench", "NeuSight", "aiconfigurator"

struct MeasuredOps {
  std::vector<MeasuredOp> ops;
  std::map<std::string, std::vector<std::string>> also;  ///< devices that share one's surfaces
  std::map<std::string, std::string> left_out;           ///< what was skipped, and why
};

/// The tables of ops: deepbench_gemm, gemm_measured, neusight_ops, deepbench_conv, deepbench_rnn.
const std::vector<std::string>& op_tables();

/// Reads some of these (.csv.gz) and devices.csv of `folder`. Errors: kNotFound, kInvalidInput.
Result<MeasuredOps> read_measured_ops(const std::string& folder,
                                      const std::vector<std::string>& tables,
                                      const Catalog& catalog);
/// Devices of the catalog by the names of the tables (devices.csv). Errors: as above.
Result<std::map<std::string, DeviceSpec>> read_measured_devices(const std::string& folder,
                                                                const Catalog& catalog);

}  // namespace pluto
