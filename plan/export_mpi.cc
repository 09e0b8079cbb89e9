#include <fmt/format.h>

#include <utility>

#include "plan/export_trainers.h"

namespace pluto {
namespace {

constexpr const char* kHorovod = "Horovod 0.28 on";
constexpr const char* kMpi = "Open MPI 4 on, or MPICH 4";

/// Where a launcher has handed out the nodes already: inside Slurm or an MPIJob.
constexpr const char* kAllocated =
    "[ -n \"${SLURM_JOB_ID:-}${OMPI_MCA_orte_default_hostfile:-}\" ]";

}  // namespace

bool by_mpi(ExportTarget trainer) {
  return trainer == ExportTarget::kHorovod || trainer == ExportTarget::kMpi;
}

Result<std::string> slots_hostfile(const Exported& e, const std::string& versions) {
  PLUTO_ASSIGN(const auto hosts, hosts_of(e));
  std::string text = comments(about(e, versions));
  for (const std::string& host : hosts) {
    text += fmt::format("{} slots={}\n", host, launch_size(e.plan()).ranks_per_node);
  }
  return text;
}

Result<Files> write_horovod(const Exported& e) {
  const Plan& plan = e.plan();
  PLUTO_ASSIGN(const auto hosts, hosts_of(e));
  std::string list;
  for (const std::string& host : hosts) {
    list += fmt::format("{}{}:{}", list.empty() ? "" : ",", host, launch_size(plan).ranks_per_node);
  }
  ShellScript script = node_script(e, std::string(kHorovod) + ", started once");
  script.set("HOROVOD_FUSION_THRESHOLD", fmt::format("{}", 4 * bucket_elements(e.projection)));
  const bool hierarchical =
      !plan.buckets.empty() && plan.buckets.front().algorithm == CollectiveAlgorithm::kHierarchical;
  if (hierarchical) script.set("HOROVOD_HIERARCHICAL_ALLREDUCE", "1");
  const std::string ranks = std::to_string(plan.layout.ranks());
  const auto train = ShellWord::expression("\"${TRAIN:-train.py}\" \"$@\"");
  script.line(std::string("if ") + kAllocated + "; then");
  std::vector<ShellWord> inside = {
      "exec", "mpirun", "-np",        ranks, "--bind-to",       "none", "--map-by",
      "slot", "-x",     "PYTHONPATH", "-x",  "OMP_NUM_THREADS", "-x",   "HOROVOD_FUSION_THRESHOLD"};
  if (hierarchical) inside.insert(inside.end(), {"-x", "HOROVOD_HIERARCHICAL_ALLREDUCE"});
  inside.emplace_back("python3");
  inside.push_back(train);
  script.command(inside);
  script.line("fi");
  script.line("hosts=" + shell_quoted(list));
  script.command({"exec", "horovodrun", "-np", ranks,
                  ShellWord::expression("-H \"${HOSTS:-$hosts}\""), "python3", train});
  Files files = {{"launch.sh", script.text(), true}};
  for (ExportedFile& file : python_module(e)) files.push_back(std::move(file));
  return files;
}

Result<Files> write_mpi(const Exported& e) {
  const Plan& plan = e.plan();
  PLUTO_ASSIGN(const auto hosts, hosts_of(e));
  PLUTO_ASSIGN(std::string open_mpi, slots_hostfile(e, "Open MPI 4 on"));
  std::string mpich = comments(about(e, "MPICH 4"));
  for (const std::string& host : hosts) {
    mpich += fmt::format("{}:{}\n", host, launch_size(plan).ranks_per_node);
  }
  ShellScript script =
      node_script(e, std::string(kMpi) + ", started once; the MPI that pluto-plan was built with");
  script.line("ranks=" + std::to_string(plan.layout.ranks()));
  script.line("launch=(\"${MPIRUN:-mpirun}\" -np \"$ranks\")");
  script.line("if \"${MPIRUN:-mpirun}\" --version | grep -q 'Open MPI'; then");
  // Threads are the plan's: binding a rank to one core would leave them one.
  script.line("  launch+=(--bind-to none -x OMP_NUM_THREADS)");
  script.line("  if [ \"$(id -u)\" = 0 ]; then launch+=(--allow-run-as-root); fi");
  script.line(std::string("  if ! ") + kAllocated +
              "; then launch+=(--hostfile \"${HOSTFILE:-$here/hostfile.openmpi}\"); fi");
  script.line(std::string("elif ! ") + kAllocated + "; then");
  script.line("  launch+=(-f \"${HOSTFILE:-$here/hostfile.mpich}\")");
  script.line("fi");
  // All ranks are one after the other on their nodes, as the plan numbers them.
  script.command({ShellWord::expression("exec \"${launch[@]}\" \"${PLUTO_PLAN:-pluto-plan}\""),
                  "worker", "run", ShellWord::expression("\"$here/plan.json\""),
                  ShellWord::expression("--folder \"${CHECKPOINTS:-$here/checkpoints}\""),
                  ShellWord::expression("--checkpoint-every " +
                                        std::to_string(plan.checkpoint_every) + " \"$@\"")});
  return Files{{"launch.sh", script.text(), true},
               {"hostfile.openmpi", std::move(open_mpi), false},
               {"hostfile.mpich", std::move(mpich), false}};
}

}  // namespace pluto
