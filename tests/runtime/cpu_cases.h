#pragma once
// Shapes at which the CPU backend is compared with the reference, forward and backward.

#include <string>
#include <vector>

#include "model/op_schema.h"
#include "runtime/device.h"

namespace pluto::testing {

/// One node of a case with values for everything it reads.
struct CpuNode {
  std::string name;
  KernelRequest request;
  bool may_overwrite = false;
  std::vector<std::vector<std::byte>> inputs, updates;
};

/// Forward, backward and update nodes of every case, with inputs computed by the reference device.
/// Names are lawful test names: "Conv3x3Batch1N7Conv2dBackwardData".
std::vector<CpuNode> cpu_nodes(const std::string& case_name);
const std::vector<std::string>& cpu_case_names();

StepScalars cpu_case_scalars(bool training);

}  // namespace pluto::testing
