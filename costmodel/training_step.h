#pragma once
// From a row of a table of training steps to what we predict for it.

#include <array>
#include <map>
#include <memory>
#include <string>

#include "base/result.h"
#include "costmodel/cost_source.h"
#include "costmodel/efficiency.h"
#include "costmodel/framework_source.h"
#include "costmodel/frameworks.h"
#include "costmodel/training_points.h"
#include "model/training_graph.h"
#include "plan/plan.h"

namespace pluto {

/// The terms add up to step().
struct TrainingStep {
  Seconds compute;  ///< operators on the device
  Seconds waiting;  ///< of the device for a host that issues operators too slowly
  Seconds exposed_comm;
  Seconds update;
  Seconds serial;  ///< host work while the device waits
  Seconds input;   ///< what reading adds
  double spread = 0;
  std::array<Seconds, kOpClassCount> by_class{};  ///< of compute and update
  Seconds step() const { return compute + waiting + exposed_comm + update + serial + input; }
};

/// Predicts rows; remembers graphs, so rows of one model are best asked one after the other.
/// Not thread-safe.
///
/// Formula: the model as the framework's passes leave it -> lower -> simulate with FrameworkSource.
///   h = accumulation (operators forward * forward + backward * backward) + parameters * update is
///   what the host needs to issue a step; every operator is stretched by max(1, h / device time),
///   device time the sum of all operators, and the stretched step is simulated. t = that + serial *
///   parameters, at least accumulation * batch * sample.
/// Source: ours; kernels are issued in order into a queue that the device empties.
/// Valid for: steady steps. Ignores: an exposed wait at the end of the queue, operators of uneven
///   size (a long one hides the issue of short ones only from there on).
/// Gradients of all_reduce go in buckets of 25 MiB (PyTorch's default), parameter by parameter to
/// servers. Test: costmodel/training_step_test.cc.
class StepPredictor {
 public:
  /// `data_folder`: efficiency.json, op_surfaces.json, nccl.json, interference.json. Errors: those
  /// of their readers.
  static Result<StepPredictor> load(const std::string& data_folder, FrameworkTable frameworks);
  /// Errors: those of build_model() and lower().
  Result<TrainingStep> predict(const TrainingRow& row);
  /// What the driver reports as used on one device for the row.
  /// Formula: context + slack * kept, at most the device. kept is what the caching allocator holds
  ///   for the model in 32 bits (plan/allocator_replay.h) and what eager attention keeps per layer
  ///   and sample: scores after softmax, after dropout and the mask, heads s^2 (4 + 4 + 1) bytes,
  ///   and four copies of s x width with heads apart. Mixed: activations count half_activations,
  ///   gradients half, and 16-bit copies of the parameters come on top.
  /// Source: Korthikanti et al. 2022, section 4.1 (attention); PyTorch (allocator); Micikevicius et
  ///   al. 2018. Ignores: workspaces of libraries beyond the slack, buckets of gradients.
  /// fits: whether it starts at all. Errors: as above.
  struct Memory {
    Bytes used;
    bool fits = true;
  };
  Result<Memory> predict_memory(const TrainingRow& row);
  const FrameworkTable& frameworks() const { return frameworks_; }
  FrameworkTable& frameworks() { return frameworks_; }

 private:
  struct Prepared;
  StepPredictor() = default;
  Result<std::shared_ptr<const Prepared>> prepare(const TrainingRow& row);
  static Plan plan_of(const Prepared& prepared, const TrainingRow& row);

  FrameworkTable frameworks_;
  InterferenceTable interference_;
  std::shared_ptr<const CostSource> sources_[2][2][2];  // by tf32, eager attention, channels last
  std::map<std::string, std::shared_ptr<const Prepared>> prepared_;
};

}  // namespace pluto
