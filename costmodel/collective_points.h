#pragma once
// data/measured/collectives.csv.gz: collectives of GPUs in one node that others measured.

#include <string>
#include <vector>

#include "base/result.h"
#include "costmodel/nccl_model.h"

namespace pluto {

struct CollectiveRow {
  std::string system;  ///< "H100 aiconfigurator"
  std::string link;    ///< entry of nccl.json
  CollectiveCall call;
  ClusterSpec cluster;
  double seconds = 0;
  int line = 0;  ///< of the table
};

/// Rows marked as used. Errors: kNotFound, kInvalidInput with file:line.
Result<std::vector<CollectiveRow>> read_collectives(const std::string& path,
                                                    const NcclTable& table);

}  // namespace pluto
