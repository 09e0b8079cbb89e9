#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <sstream>

#include "base/csv.h"
#include "base/document.h"
#include "bench/peer_cases.h"
#include "planner/replicated_cuts.h"

namespace pluto::bench {
namespace {

/// The profile as a chain: layers in the order of the file, which is topological, each cut crossed
/// by every output that is read behind it.
Result<std::vector<ChainLayer>> read_chain(const std::string& path) {
  PLUTO_ASSIGN(const std::string text, read_file(path));
  PLUTO_ASSIGN(const CsvTable table, CsvTable::parse(text, path));
  std::map<std::string, std::size_t> row_of;
  std::vector<std::size_t> last_reader(table.rows());
  std::vector<ChainLayer> layers(table.rows());
  for (std::size_t i = 0; i < table.rows(); ++i) {
    row_of[table.text(i, "layer").value_or("")] = last_reader[i] = i;
    std::istringstream reads(table.text(i, "reads").value_or(""));
    for (std::string name; reads >> name;) last_reader[row_of.at(name)] = i;
    layers[i].forward = Seconds(table.number(i, "forward_ms").value_or(0) / 1000);
    layers[i].backward = Seconds(table.number(i, "backward_ms").value_or(0) / 1000);
    layers[i].parameters =
        Bytes(static_cast<std::int64_t>(table.number(i, "parameter_bytes").value_or(0)));
  }
  for (std::size_t i = 0; i < table.rows(); ++i) {
    const Bytes output(static_cast<std::int64_t>(table.number(i, "output_bytes").value_or(0)));
    for (std::size_t cut = i; cut < std::max(last_reader[i], i + 1); ++cut) {
      layers[cut].output += output;
    }
  }
  return layers;
}

}  // namespace

Result<std::vector<PeerCase>> pipedream_cases(const std::string& folder) {
  PLUTO_ASSIGN(const auto layers, read_chain(folder + "/pipedream_densenet121.csv"));
  // Its command line: -n 4 4 -b 12000000000 1250000000 --activation_compression_ratio 1.
  const std::vector<ClusterLevel> levels{{4, BytesPerSecond(12e9)}, {4, BytesPerSecond(1.25e9)}};
  const double start = cpu_seconds();
  PLUTO_ASSIGN(const ReplicatedCuts cuts, cut_replicated(layers, levels));
  PeerCase one;
  one.seconds = cpu_seconds() - start;
  one.name = "PipeDream, DenseNet-121 on 4 x 4 GPUs";
  one.their_seconds = 149;
  one.objective = cuts.slowest.value() * 1e3;
  one.their_objective = 24.589697599999998;
  one.unit = "ms per micro-batch";
  std::string stages;
  for (const ReplicatedStage& stage : cuts.stages) {
    stages += fmt::format(" {}-{}x{}x{}", stage.begin, stage.end - 1, stage.replicas[0],
                          stage.replicas[1]);
  }
  one.note = fmt::format("{} stages; layers x GPUs x machines:{}", cuts.stages.size(), stages);
  return std::vector{one};
}

}  // namespace pluto::bench
