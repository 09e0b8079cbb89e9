#pragma once
// Data-parallel plans of any graph, priced by the simulator.

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/result.h"
#include "costmodel/cost_source.h"
#include "planner/bounds.h"
#include "planner/lowered_plans.h"
#include "planner/plan_space.h"
#include "planner/space.h"
#include "planner/sync_choice.h"

namespace pluto {

/// To need less memory costs work or exchanges: a micro-batch that does not fit as it is gets its
/// chance where its bound is lower by more than this share than the best that was found.
inline constexpr double kWorthLessMemory = 0.1;

/// Cells are the placements of enumerate() (space.h). In a cell each micro-batch whose bound
/// (bounds.h) leaves it a chance gets its sync methods, bucket size and wire by choose_sync()
/// (sync_choice.h), and on GPUs together with them other ways to exchange less, where plain data
/// parallelism is not within kNegligibleGain of the bound, and ways to need less memory, where it
/// does not fit and could gain kWorthLessMemory (variants.h). Exact as long as choose_sync() is, to
/// kNegligibleGain, and to kWorthLessMemory for what fits in less memory only; pipelines have
/// buckets of 25 MiB.
class SimulatedSpace final : public PlanSpace {
 public:
  /// Everything referred to must outlive the space. Errors: those of enumerate() and lower().
  static Result<std::unique_ptr<SimulatedSpace>> make(const TrainingJob& job,
                                                      const ModelGraph& model,
                                                      std::int64_t dataset_samples,
                                                      const std::vector<Candidate>& candidates,
                                                      const CostSource& costs);

  std::size_t cells() const override { return space_.placements.size(); }
  Result<std::optional<CellBound>> bound(std::size_t cell) override;
  Result<std::optional<RankedPlan>> best(std::size_t cell,
                                         const std::function<bool()>& stop) override;
  Result<std::optional<RankedPlan>> plain(const RankedPlan& chosen) override;
  Result<std::optional<RankedPlan>> lightest(const std::function<bool()>& stop) override;
  std::optional<CellPlace> place(std::size_t cell) const override;
  Bytes gradient_bytes() const override;
  std::int64_t evaluated() const override { return evaluated_; }
  Rejections rejections() const override;

 private:
  /// A micro-batch of a cell that some plan may fit with.
  struct Share {
    std::int64_t micro_batch = 1;
    Seconds step;         ///< no plan is faster
    bool fits = true;     ///< with nothing sharded and nothing recomputed
    bool stages = false;  ///< may be cut into stages: no micro-batch of the cell fits
  };
  SimulatedSpace(const TrainingJob& job, const ModelGraph& model, std::int64_t dataset_samples,
                 const std::vector<Candidate>& candidates, const CostSource& costs);
  Plan plan_of_share(std::size_t cell, std::int64_t micro_batch) const;
  void choose_readers(Plan& plan);  ///< where the job leaves them
  Result<RankedPlan> predicted(Plan plan);
  Result<std::optional<RankedPlan>> best_of(std::size_t cell, const Share& share,
                                            const std::function<bool()>& stop);
  Result<void> try_local_steps(RankedPlan& best);
  /// Whether the job's targets can; counts those they cannot.
  bool carried(const Plan& plan);
  /// Of data parallelism with buckets of 25 MiB.
  Result<Seconds> plain_step(const Plan& plan);
  /// Those that the ranks have in common.
  Result<std::vector<GradientInfo>> gradients_of(const Plan& plan) const;
  Result<std::vector<Frame>> quieter_frames(const Plan& plan) const;
  Result<std::optional<RankedPlan>> chosen(std::vector<Frame> frames, bool short_of, Seconds floor,
                                           const std::function<bool()>& stop);
  Result<std::optional<RankedPlan>> smaller(const Plan& plan, bool stages,
                                            const std::function<bool()>& stop);

  const TrainingJob& job_;
  const ModelGraph& model_;
  const std::int64_t dataset_samples_;
  const std::vector<Candidate>& candidates_;
  const CostSource& costs_;
  Space space_;
  std::vector<GradientInfo> gradients_;
  std::optional<Bounds> bounds_;
  std::vector<std::vector<Share>> shares_;  ///< by cell, fastest bound first
  LoweredPlans lowered_;
  std::int64_t evaluated_ = 0, out_of_memory_ = 0, not_carried_ = 0;
};

}  // namespace pluto
