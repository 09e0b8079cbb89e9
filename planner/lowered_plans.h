#pragma once
// Plans lowered once, wherever they run.

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "base/result.h"
#include "plan/lowering.h"
#include "plan/plan.h"

namespace pluto {

/// Keeps what lower() made of one model. Lowering reads ranks, batches, buckets and ways to split,
/// not the cluster, so plans that differ in their instance alone share it. What was not asked for
/// longest is dropped beyond kKeptTasks. Precondition: all plans are of one job (model, fusion,
/// optimizer, precision) and have no pipeline stages, experts or tensor ranks. Not thread-safe.
/// Test: planner/lowered_plans_test.cc.
class LoweredPlans {
 public:
  /// `model` must outlive it.
  explicit LoweredPlans(const ModelGraph& model) : model_(model) {}

  /// Errors: those of lower().
  Result<std::shared_ptr<const LoweredPlan>> of(const Plan& plan);
  std::int64_t made() const { return made_; }  ///< calls of lower() so far

 private:
  struct Kept {
    std::shared_ptr<const LoweredPlan> lowered;
    std::int64_t asked = 0;  ///< the last time, by asks_
  };
  Result<std::shared_ptr<const TrainingGraph>> training_of(const Plan& plan);
  void drop_oldest();

  const ModelGraph& model_;
  /// Before communication, by what is done to the model.
  std::map<std::string, std::shared_ptr<const TrainingGraph>> trainings_;
  std::map<std::string, Kept> kept_;
  std::int64_t made_ = 0, asks_ = 0, tasks_ = 0;
};

/// Some 400 bytes each with the nodes of their graphs.
inline constexpr std::int64_t kKeptTasks = 1'000'000;

}  // namespace pluto
