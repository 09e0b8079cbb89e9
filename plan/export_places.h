#pragma once
// The files of each place: they find the nodes and run "launch.sh" of the trainer there.

#include "plan/export_trainers.h"

namespace pluto {

/// job.sbatch, to submit from its folder.
Result<Files> write_slurm(const Exported& e);
/// task.yaml, for `sky launch` in its folder. Errors: kInvalidInput for an instance that is not
/// "cloud:type".
Result<Files> write_skypilot(const Exported& e);
/// configmap.yaml with the files of the trainer, and the job. Errors: kInvalidInput without an
/// image where there is no default.
Result<Files> write_pytorchjob(const Exported& e, const Files& trainer);
Result<Files> write_mpijob(const Exported& e, const Files& trainer);
Result<Files> write_trainjob(const Exported& e, const Files& trainer);

/// "1-02:03:04" of Slurm, up to the next minute.
std::string slurm_time(Seconds time);

}  // namespace pluto
