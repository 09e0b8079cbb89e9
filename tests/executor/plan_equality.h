#pragma once
// A lowered plan on planned memory against the untransformed graph on memory without plan, both on
// the reference backend: losses and what is trained.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/reference/reference_device.h"
#include "tests/support/graph_runner.h"
#include "tests/support/step_interpreter.h"

namespace pluto::testing {

inline constexpr int kEqualitySteps = 2;

struct Outcome {
  std::vector<std::vector<float>> losses;  ///< by step; micro-batches in rank order
  std::map<std::string, Values> tensors;   ///< parameters, optimizer state and buffers of rank 0
};

/// One model under one plan, with starting values and samples of a seed. Model and plan must
/// outlive it.
class Equality {
 public:
  Equality(const ModelGraph& model, const Plan& plan, std::uint64_t seed);

  /// Micro-batch by micro-batch through the graph that autodiff alone made; gradients added by
  /// hand. With local steps every rank adds its own only, and the parameters of all are averaged at
  /// the end.
  Outcome untransformed() const;
  /// Through every pass the plan asks for. Also checks that ranks agree on the parameters.
  Outcome lowered(NetworkPace pace, const MemoryOptions& options = {}) const;
  /// Of a plan that somebody else lowered.
  Outcome run(const LoweredPlan& lowered, NetworkPace pace, int steps,
              const MemoryOptions& options = {}) const;

  void set_loss_scale(double scale) { loss_scale_ = scale; }  ///< 1 unless set

 private:
  bool local() const { return plan_.local.steps > 1; }
  void update(const TrainingGraph& training, GraphRunner& runner, const std::vector<Values>& sums,
              int step) const;
  void gather_sharded_state(const LoweredPlan& lowered, const StepInterpreter& interpreter,
                            Outcome& outcome) const;
  bool ranks_agree() const;
  std::int64_t first_sample(int rank, int micro) const {
    return (rank * plan_.accumulation + micro) * plan_.micro_batch;
  }
  std::vector<Values> batch(const Graph& graph, int step, int rank, int micro) const;
  StepScalars scalars(int step, int rank, int micro) const;

  const ModelGraph& model_;
  const Plan& plan_;
  std::uint64_t seed_;
  std::unique_ptr<Device> device_;
  double loss_scale_ = 1;
};

/// `rounding`: of numbers that travelled in 16 bits.
void expect_close(float actual, float expected, const std::string& what, double rounding = 0);
void expect_equal(const Outcome& actual, const Outcome& expected, const std::string& what,
                  double rounding = 0);

/// SGD: Adam divides by the root of a gradient that may be all rounding.
Plan with_sgd(Plan plan, std::uint64_t seed);
void with_shards(Plan& plan, int stage);  ///< ZeRO

}  // namespace pluto::testing
