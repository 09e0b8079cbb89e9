#pragma once
// Plans of a transformer on GPUs, priced by the closed form.

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "base/result.h"
#include "costmodel/transformer.h"
#include "plan/lowering.h"
#include "planner/plan_space.h"
#include "planner/space.h"

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
/// that number, until it exceeds the best step; a plan is checked for memory only when it is the
/// fastest so far.
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
  /// Layers of one kind on the devices of one place.
  struct Layer {
    TransformerPlan plan;  ///< tensor, context, micro-batch, flags; one rank elsewhere
    TransformerLayerCost cost;
    double device_seconds = 0;  ///< of all devices for one sample, nothing waiting
    double kept_bytes = 0;      ///< for backward, of all layers of one micro-batch
    double weight_bytes = 0;    ///< of the whole model on the devices of one stage
  };
  struct Place {
    const TransformerPlace* given;
    std::vector<Layer> layers;  ///< by device_seconds
  };
  struct Cell {
    std::size_t place = 0;
    int nodes = 1, ranks = 1;
    std::size_t batch = 0;  ///< of batches_
  };
  struct Found {
    TransformerPlan plan;
    Seconds step;
    Bytes reserved;
  };

  TransformerSpace(const TrainingJob& job, const ModelGraph& model, const TransformerShape& shape,
                   std::int64_t dataset_samples)
      : job_(job), model_(model), shape_(shape), dataset_samples_(dataset_samples) {}
  void add_place(const TransformerPlace& given);
  void add_cells(std::size_t place);
  ClusterSpec cluster_of(const Cell& cell) const;
  /// Whether a plan of the cell with such layers can fit.
  /// Formula: with s stages, m micro-batches and r ranks, stage 0 keeps min(m, s) micro-batches of
  ///   layers / s, and m = s B t c / (r micro): layers min(1, B t c / (r micro)) for every s;
  ///   beside it the weights of at most `layers` stages.
  bool may_fit(const Cell& cell, const Layer& layer) const;
  template <class Visit>
  void visit_plans(const Cell& cell, const Layer& layer, Visit visit) const;
  Result<RankedPlan> ranked(const Cell& cell, const TransformerPlan& used) const;

  const TrainingJob& job_;
  const ModelGraph& model_;
  const TransformerShape& shape_;
  const std::int64_t dataset_samples_;
  std::vector<Placement> batches_;  ///< global batch, steps and learning rate of one rank each
  std::vector<GradientInfo> gradients_;
  std::vector<Place> places_;
  std::vector<Cell> cells_;
  std::map<int, std::vector<int>> stages_;  ///< numbers of stages, by ranks over tensor x context
  std::int64_t evaluated_ = 0, out_of_memory_ = 0, divisibility_ = 0;
};

}  // namespace pluto
