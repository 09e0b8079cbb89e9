#include <fmt/format.h>

#include <cmath>

#include "plan/export_places.h"

namespace pluto {

std::string slurm_time(Seconds time) {
  constexpr std::int64_t kHour = 60, kDay = 24 * kHour;
  const auto minutes = static_cast<std::int64_t>(std::ceil(time.value() / 60));
  const std::string clock = fmt::format("{:02}:{:02}:00", minutes % kDay / kHour, minutes % kHour);
  return minutes < kDay ? clock : fmt::format("{}-{}", minutes / kDay, clock);
}

Result<Files> write_slurm(const Exported& e) {
  const Plan& plan = e.plan();
  const LaunchSize size = launch_size(plan);
  const bool mpi = by_mpi(e.target.trainer);
  std::vector<std::string> header = about(e, "Slurm 20.11 on; sbatch job.sbatch in this folder");
  const auto option = [&](const std::string& text) { header.push_back("#SBATCH --" + text); };
  option("job-name=" + label_of(plan));
  option(fmt::format("nodes={}", size.nodes));
  // One task starts the ranks of its node; MPI starts one for each itself.
  const int tasks = mpi ? size.ranks_per_node : 1;
  option(fmt::format("ntasks-per-node={}", tasks));
  option(fmt::format("cpus-per-task={}", plan.threads_per_rank * (mpi ? 1 : size.ranks_per_node)));
  if (on_gpus(plan)) option(fmt::format("gpus-per-node={}", size.ranks_per_node));
  if (plan.deadline) option("time=" + slurm_time(*plan.deadline));
  option("exclusive");
  option("signal=B:TERM@120");
  option("output=%x-%j.out");
  ShellScript script(header);
  script.line("cd \"$SLURM_SUBMIT_DIR\"");
  if (mpi) {
    script.line("HOSTS=\"$(scontrol show hostnames \"$SLURM_JOB_NODELIST\" | sed 's/$/:" +
                std::to_string(size.ranks_per_node) + "/' | paste -sd, -)\"");
    script.line("export HOSTS");
    script.line("exec bash launch.sh \"$@\"");
  } else {
    // sed reads to the end: what writes into a closed pipe would end the script.
    script.line("MASTER_ADDR=\"$(scontrol show hostnames \"$SLURM_JOB_NODELIST\" | sed -n 1p)\"");
    script.line("export MASTER_ADDR MASTER_PORT=\"$((20000 + SLURM_JOB_ID % 20000))\"");
    // SLURM_NODEID is another on every node: it is read there.
    script.line("# shellcheck disable=SC2016");
    script.line(
        "exec srun --kill-on-bad-exit=1 bash -c 'NODE_RANK=\"$SLURM_NODEID\" exec bash launch.sh "
        "\"$@\"' launch \"$@\"");
  }
  return Files{{"job.sbatch", script.text(), false}};
}

}  // namespace pluto
