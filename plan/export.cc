#include "plan/export.h"

#include "plan/export_places.h"

namespace pluto {
namespace {

Result<Files> trainer_files(const Exported& e) {
  switch (e.target.trainer) {
    case ExportTarget::kTorchrun:
    case ExportTarget::kFsdp:
      return write_torchrun(e);
    case ExportTarget::kDeepspeed:
      return write_deepspeed(e);
    case ExportTarget::kAccelerate:
      return write_accelerate(e);
    case ExportTarget::kMegatron:
      return write_megatron(e);
    case ExportTarget::kHorovod:
      return write_horovod(e);
    case ExportTarget::kMpi:
      return write_mpi(e);
    default:
      return internal_error("a place among the trainers");
  }
}

Result<Files> place_files(const Exported& e, const Files& trainer) {
  switch (*e.target.place) {
    case ExportTarget::kSlurm:
      return write_slurm(e);
    case ExportTarget::kSkypilot:
      return write_skypilot(e);
    case ExportTarget::kPytorchJob:
      return write_pytorchjob(e, trainer);
    case ExportTarget::kMpiJob:
      return write_mpijob(e, trainer);
    case ExportTarget::kTrainJob:
      return write_trainjob(e, trainer);
    default:
      return internal_error("a trainer among the places");
  }
}

}  // namespace

Result<std::vector<ExportedFile>> export_plan(const RunTarget& target, const Projection& projection,
                                              const ExportFacts& facts) {
  const Exported e{target, projection, facts};
  PLUTO_ASSIGN(Files files, trainer_files(e));
  files.push_back({"plan.json", to_json(projection.plan) + "\n", false});
  if (!target.place) return files;
  PLUTO_ASSIGN(const Files place, place_files(e, files));
  files.insert(files.end(), place.begin(), place.end());
  return files;
}

}  // namespace pluto
