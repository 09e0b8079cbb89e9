#pragma once
// data/measured: op times that others measured, as signatures of ours.

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "costmodel/surface_fit.h"
#include "plan/catalog.h"

namespace pluto::bench {

struct MeasuredOp {
  SurfaceSample sample;
  std::string device;      ///< in the catalog
  std::string generation;  ///< of the device
  std::uint64_t fold = 0;  ///< equal for equal shapes on all devices
};

/// The harnesses, by SurfaceSample::source.
constexpr int kWaitingSource = 1;     ///< NeuSight: starts an op when the one before has ended
const char* source_name(int source);  ///< "DeepBench", "NeuSight", "aiconfigurator"

struct MeasuredOps {
  std::vector<MeasuredOp> ops;
  std::map<std::string, std::vector<std::string>> also;  ///< devices that share one's surfaces
  std::map<std::string, std::string> left_out;           ///< what was skipped, and why
};

/// Reads deepbench_gemm, deepbench_conv, deepbench_rnn, gemm_measured and neusight_ops (.csv.gz)
/// and devices.csv of `folder`. Errors: kNotFound, kInvalidInput.
Result<MeasuredOps> read_measured_ops(const std::string& folder, const Catalog& catalog);
/// A CSV file, gunzipped where its name ends in .gz.
Result<std::string> read_text(const std::string& path);

}  // namespace pluto::bench
