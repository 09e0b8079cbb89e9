#pragma once
// The files of each trainer. Every trainer has "launch.sh", which a place runs: by_mpi() ones once,
// the others on every node with MASTER_ADDR, MASTER_PORT and NODE_RANK set.

#include "plan/export_parts.h"

namespace pluto {

using Files = std::vector<ExportedFile>;

bool by_mpi(ExportTarget trainer);

/// launch.sh of torchrun, and the module below; the same for fsdp.
Result<Files> write_torchrun(const Exported& e);
/// launch.sh of torchrun, deepspeed.sh with its hostfile, ds_config.json, and the module.
Result<Files> write_deepspeed(const Exported& e);
/// launch.sh of accelerate launch, accelerate.yaml, and the module.
Result<Files> write_accelerate(const Exported& e);
/// launch.sh with the arguments of pretrain_gpt.py. Errors: kInvalidInput for what is no GPT.
Result<Files> write_megatron(const Exported& e);
/// launch.sh of horovodrun or mpirun, and the module.
Result<Files> write_horovod(const Exported& e);
/// launch.sh of mpirun over the bundled executor, hostfiles of Open MPI and MPICH.
Result<Files> write_mpi(const Exported& e);

/// "pluto_plan.py", which gives a PyTorch script the plan's optimizer, schedule, precision,
/// accumulation and wrapping, and "settings.json", which it reads.
Files python_module(const Exported& e);
/// The document of settings.json.
Value settings_value(const Exported& e);

/// "name slots=8" a line, as Open MPI and DeepSpeed read hostfiles. Errors: those of hosts_of().
Result<std::string> slots_hostfile(const Exported& e, const std::string& versions);

}  // namespace pluto
