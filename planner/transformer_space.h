#pragma once
// Plans of a transformer on GPUs, priced by the closed form.

#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/result.h"
#include "costmodel/transformer.h"
#include "plan/lowering.h"
#include "planner/plan_space.h"
#include "planner/space.h"
#include "planner/transformer_layers.h"

namespace pluto {

/// A lawful plan: every device of the nodes takes part (of a single node also a divisor of them);
/// tensor divides the heads, the keys' heads and the feed-forward width; context divides the
/// sequence; data divides the global batch and micro-batches divide its share; pipeline x
/// interleave is at most the layers, and interleaving needs equal chunks and micro-batches in
/// groups of the stages; ZeRO 2 and 3 go without pipeline stages (their gathering in every
/// micro-batch is not what frameworks run). What the job fixes is fixed.
///
/// Cells are all (instance, ranks, global batch) with a lawful plan. Bound of a cell: the least
/// device-seconds a sample takes in any layer of the instance, shared evenly by all ranks; exact,
/// because stages, bubbles, sends and exchanges only add to it. In a cell, layers in the order of
/// that number, until it exceeds the best step, which is at most what the layers of the cell before
/// reach; a plan is checked for memory only when it is the fastest so far.
class TransformerSpace final : public PlanSpace {
 public:
  /// Everything referred to must outlive the space. Errors: those of enumerate(); kInvalidInput
  /// when the job fixes degrees that no plan can have; kUnsupported when no place has the
  /// precision.
  static Result<std::unique_ptr<TransformerSpace>> make(
      const TrainingJob& job, const ModelGraph& model, const TransformerShape& shape,
      std::int64_t dataset_samples, const std::vector<TransformerPlace>& places);

  std::size_t cells() const override { return cells_.size(); }
  Result<std::optional<CellBound>> bound(std::size_t cell) override;
  Result<std::optional<RankedPlan>> best(std::size_t cell,
                                         const std::function<bool()>& stop) override;
  Result<std::optional<RankedPlan>> plain(const RankedPlan& chosen) override;
  Result<std::optional<RankedPlan>> lightest(const std::function<bool()>& stop) override;
  /// Fewest stages (whose balance and sends are known worst), then least recomputing, fewest
  /// chunks, lowest ZeRO stage.
  Result<RankedPlan> simplest(const RankedPlan& chosen) override;
  /// Buckets of 25 MiB on a rank, by all_reduce or sharded: the closed form prices bytes, not
  /// buckets.
  void finish(Plan& plan) const override;
  std::optional<CellPlace> place(std::size_t cell) const override;
  Bytes gradient_bytes() const override;
  std::int64_t evaluated() const override { return evaluated_; }
  Rejections rejections() const override;

 private:
  struct Place {
    const TransformerPlace* given = nullptr;
    std::shared_ptr<const PlacedLayers> layers;  ///< places with the same nodes share them
    std::optional<std::size_t> last;  ///< of layers->by_time: what the last cell was best with
  };
  struct Cell {
    std::size_t place = 0;
    int nodes = 1, ranks = 1;
    std::size_t batch = 0;  ///< of batches_
  };
  struct Stages {
    int pipeline, data;
    int share;  ///< samples of one data rank in a step
  };
  /// Lawful stages of a cell by tensor x context; null where that does not divide its ranks.
  using Spread = std::vector<const std::vector<Stages>*>;
  struct Found {
    TransformerPlan plan;
    Seconds step;
    Bytes reserved;
  };
  /// The fastest plan of a cell so far. `reached`: no more than the fastest takes, known
  /// beforehand.
  struct Fastest {
    std::optional<Found> found;
    double reached = std::numeric_limits<double>::infinity();
    /// Whether a plan that takes so long can be it. Of equals the first found is.
    bool can_be(double seconds) const {
      return found ? seconds < found->step.value() : seconds <= reached;
    }
  };

  TransformerSpace(const TrainingJob& job, const ModelGraph& model, const TransformerShape& shape,
                   std::int64_t dataset_samples)
      : job_(job), model_(model), shape_(shape), dataset_samples_(dataset_samples) {}
  void add_place(const TransformerPlace& given);
  void add_cells(std::size_t place);
  ClusterSpec cluster_of(const Cell& cell) const;
  bool fits(const Cell& cell, const PlacedLayer& layer) const;
  Spread spread_of(const Cell& cell);
  template <class Skip, class Visit>
  void visit_plans(const Cell& cell, const Spread& spread, const PlacedLayer& layer, Skip skip,
                   Visit visit);
  /// Whether the job's targets can run it on nodes of so many devices; counts what they cannot.
  bool carried(const TransformerPlan& plan, int devices);
  void fastest_of(const Cell& cell, const Spread& spread, const ClusterSpec& cluster,
                  const PlacedLayer& layer, Fastest& fastest);
  Result<RankedPlan> ranked(const Cell& cell, const TransformerPlan& used) const;

  const TrainingJob& job_;
  const ModelGraph& model_;
  const TransformerShape& shape_;
  const std::int64_t dataset_samples_;
  std::vector<Placement> batches_;  ///< global batch, steps and learning rate of one rank each
  std::vector<GradientInfo> gradients_;
  PlanKnobs knobs_;  ///< what all plans have in common
  std::vector<Place> places_;
  std::vector<Cell> cells_;
  /// By ranks over tensor x context, and batch.
  std::map<std::pair<int, std::size_t>, std::vector<Stages>> stages_;
  std::vector<std::vector<int>> chunks_;  ///< a stage can have, from 1, by stages
  std::int64_t evaluated_ = 0, out_of_memory_ = 0, divisibility_ = 0, not_carried_ = 0;
};

}  // namespace pluto
