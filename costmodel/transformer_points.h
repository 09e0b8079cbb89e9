#pragma once
// Tables of measured transformer steps: data/measured/*.csv and what users measure.

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "costmodel/transformer_calibration.h"
#include "plan/cluster.h"

namespace pluto {

/// Named nodes (clusters.csv): a device of `devices`, how many, the two links.
/// Errors: kNotFound, kInvalidInput with file:line.
Result<std::map<std::string, NodeSpec>> read_transformer_nodes(const std::string& path,
                                                               std::span<const DeviceSpec> devices);

/// A row: what ran, and what came out.
struct TransformerRow {
  TransformerPoint point;          ///< step is 0 when the row has no time
  std::optional<Bytes> memory;     ///< peak that the framework of the fullest device held
  std::optional<Bytes> allocated;  ///< peak that it handed out
  bool out_of_memory = false;      ///< it did not run
  std::string cluster;             ///< name of the node
  std::string note;
  std::string source;
  int line = 0;
};

/// Columns as data/README.md describes them; empty cells have the defaults given there. The cluster
/// of a row has as many nodes as its plan needs.
/// Errors: kNotFound, kInvalidInput with file:line.
Result<std::vector<TransformerRow>> read_transformer_points(
    const std::string& path, const std::map<std::string, NodeSpec>& nodes);

}  // namespace pluto
