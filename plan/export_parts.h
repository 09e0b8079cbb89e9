#pragma once
// What the writers of exports share.

#include <string>
#include <vector>

#include "plan/export.h"
#include "plan/shell_script.h"

namespace pluto {

/// All that a writer reads.
struct Exported {
  const RunTarget& target;
  const Projection& projection;
  const ExportFacts& facts;
  const Plan& plan() const { return projection.plan; }
};

/// Nodes that train, and the ranks of each.
struct LaunchSize {
  int nodes = 1, ranks_per_node = 1;
};
LaunchSize launch_size(const Plan& plan);
bool on_gpus(const Plan& plan);

/// The job's name as a label of DNS: lower-case letters, digits and "-", at most 40; "pluto" where
/// nothing is left.
std::string label_of(const Plan& plan);
/// The hosts given, or made up. Errors: kInvalidInput for another number than that of the nodes.
Result<std::vector<std::string>> hosts_of(const Exported& e);
/// Elements of f32 that fill a bucket on one rank, at least 1.
std::int64_t bucket_elements(const Projection& projection);
/// The wire type of all buckets: "f32", "f16", "bf16".
std::string wire_of(const Plan& plan);
/// NCCL_ALGO for the algorithm of the buckets; empty: NCCL's choice.
std::string nccl_algorithm(const Plan& plan);

/// What every file says of itself. `versions`: of the program that reads it.
std::vector<std::string> about(const Exported& e, const std::string& versions);

/// The beginning of a script that every node runs: where it lies, threads, NCCL.
ShellScript node_script(const Exported& e, const std::string& versions);
/// Adds what finds the first node: MASTER_ADDR, MASTER_PORT, NODE_RANK are read where there are
/// several.
void add_rendezvous(ShellScript& script, const LaunchSize& size);
/// "exec torchrun ..." up to the script, as add_rendezvous() left things.
std::vector<ShellWord> torchrun_words(const Exported& e);

}  // namespace pluto
