#pragma once
// What a search walks over: cells of plans that share place, ranks and global batch.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>

#include "base/result.h"
#include "planner/planner.h"

namespace pluto {

/// What no plan of a cell can beat.
struct CellBound {
  Seconds time;  ///< to the target
  Dollars price;
};

/// Where a cell is, for estimates that need no plan.
struct CellPlace {
  const InstanceType* instance = nullptr;
  int ranks = 1;
  std::int64_t batch = 1, steps = 1;
};

/// The plans of a job, by cells, with their prices. A cell is one (instance, ranks, global batch);
/// inside one the fastest plan that fits is the best under every objective, for its price per
/// second and its number of steps are fixed. Implementations: planner/simulated_space.h,
/// planner/transformer_space.h. Not thread-safe: remembers what it computed and counts.
class PlanSpace {
 public:
  virtual ~PlanSpace() = default;
  PlanSpace() = default;
  PlanSpace(const PlanSpace&) = delete;
  PlanSpace& operator=(const PlanSpace&) = delete;

  virtual std::size_t cells() const = 0;
  /// Nullopt: no plan of the cell fits its device, which is counted. Asked once per cell.
  virtual Result<std::optional<CellBound>> bound(std::size_t cell) = 0;
  /// The fastest plan of the cell that fits, with its prediction; meets_limits is left false.
  /// Nullopt: none fits, or `stop` said so before one was found.
  virtual Result<std::optional<RankedPlan>> best(std::size_t cell,
                                                 const std::function<bool()>& stop) = 0;
  /// Plain data parallelism at the ranks and batches of `chosen`, whether it fits or not. Nullopt:
  /// the ranks cannot share the batch.
  virtual Result<std::optional<RankedPlan>> plain(const RankedPlan& chosen) = 0;
  /// Of plans that do not fit, the one that misses by least; nullopt for a space without cells.
  virtual Result<std::optional<RankedPlan>> lightest(const std::function<bool()>& stop) = 0;

  /// Nullopt for a space that does not tell. With gradient_bytes() what seeds a search
  /// (closed_form_seed.h).
  virtual std::optional<CellPlace> place(std::size_t cell) const {
    (void)cell;
    return std::nullopt;
  }
  virtual Bytes gradient_bytes() const { return Bytes(0); }  ///< of the whole model, in f32

  /// Of the plans of the same cell that fit and take less than kNegligibleGain more, the one that
  /// leans least on what is known worst; `chosen` itself where the space has no such order.
  virtual Result<RankedPlan> simplest(const RankedPlan& chosen) { return chosen; }
  /// Adds to a plan that will be returned what its price does not depend on.
  virtual void finish(Plan& plan) const { (void)plan; }

  virtual std::int64_t evaluated() const = 0;  ///< plans priced so far
  /// Counted so far: memory by configurations that were looked at, divisibility as in Rejections.
  virtual Rejections rejections() const = 0;
};

}  // namespace pluto
