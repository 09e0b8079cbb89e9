#pragma once
// What runs a plan when Pluto does not: training programs, the places that start them, and what of
// a plan each can carry out.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "plan/strategy.h"

namespace pluto {

struct Plan;

/// Trainers run the steps; places (from kSlurm on) find the nodes and start a trainer there.
enum class ExportTarget : std::uint8_t {
  kTorchrun,    ///< torchrun, DistributedDataParallel
  kFsdp,        ///< torchrun, fully_shard (FSDP2)
  kDeepspeed,   ///< configuration and hostfile
  kAccelerate,  ///< configuration of Hugging Face Accelerate
  kMegatron,    ///< argument script of Megatron-LM
  kHorovod,     ///< horovodrun or mpirun
  kMpi,         ///< mpirun of the bundled executor
  kSlurm,       ///< sbatch script
  kSkypilot,    ///< task
  kPytorchJob,  ///< Kubeflow training operator, v1
  kMpiJob,      ///< Kubeflow MPI operator, v2beta1
  kTrainJob,    ///< Kubeflow Trainer, v1alpha1
};
const char* to_text(ExportTarget target);  ///< "torchrun", ..., "trainjob"
/// Errors: kInvalidInput with the nearest name, or all of them, as help.
Result<ExportTarget> parse_export_target(std::string_view text);
std::vector<ExportTarget> all_export_targets();
bool is_place(ExportTarget target);

/// A trainer, started by hand or by a place.
struct RunTarget {
  ExportTarget trainer = ExportTarget::kTorchrun;
  std::optional<ExportTarget> place = {};
  bool operator==(const RunTarget&) const = default;
};
std::string to_text(const RunTarget& target);  ///< "torchrun", "slurm with megatron"
/// "torchrun", "slurm,megatron": every trainer of the list, in every place of it. Without a trainer
/// a place starts torchrun, mpijob horovod. Errors: those of parse_export_target(); kInvalidInput
/// for an empty list, and for a place that cannot start the trainer.
Result<std::vector<RunTarget>> parse_run_targets(std::string_view list);

/// What a target has to carry out, in a form that is cheap to ask about. Sets are bits, by
/// enumerator.
struct PlanKnobs {
  Layout layout;
  int layers = 0;  ///< of a transformer; 0: unknown or none
  int interleave = 1;
  bool sequence_parallel = false;
  int expert = 1;
  bool split_layers = false;  ///< Plan::sharded
  int shard = 0;
  Recompute recompute = Recompute::kNone;
  TrainPrecision precision = TrainPrecision::kF32;
  bool gpus = true;
  bool even_nodes = true;  ///< as many ranks on every node
  bool one_type = true;    ///< of nodes
  bool rented = true;      ///< not this machine
  bool moves = false;      ///< from spot to on-demand nodes
  int server_nodes = 0;
  bool priority = false;
  int local_steps = 1;
  unsigned methods = 0;     ///< of SyncMethod
  unsigned algorithms = 0;  ///< of CollectiveAlgorithm
  unsigned wires = 0;       ///< of DType
  int chunks = 1;
  bool cuts = false;           ///< stages begin at given nodes
  bool step_schedule = false;  ///< of the learning rate
  bool nesterov = false;
  bool coupled_decay = false;  ///< Adam with weight decay in the gradient
  int queue = 1;
  bool evaluates_between = false;
};
/// `layers`: as in PlanKnobs.
PlanKnobs knobs_of(const Plan& plan, int layers = 0);

/// Something a plan asks for that a target cannot do.
struct Gap {
  std::string field, value;  ///< "layout.pipeline", "4"
  /// Without it this would be another training or need other memory: not to be left out.
  bool essential = true;
};
/// What `target` cannot carry out of a plan: the one answer behind export, `search --target` and
/// `expressible`. In the order of the plan's fields.
std::vector<Gap> gaps(const RunTarget& target, const PlanKnobs& knobs);
/// gaps(target, knobs).empty(), for each of the targets, in a fraction of the time.
bool carries(const std::vector<RunTarget>& targets, const PlanKnobs& knobs);
/// Those of all trainers and places with their default trainer that have no gap.
std::vector<ExportTarget> carried_by(const PlanKnobs& knobs);
/// Trainers that have no gap at `field`.
std::vector<ExportTarget> trainers_with(const std::string& field, const PlanKnobs& knobs);

}  // namespace pluto
