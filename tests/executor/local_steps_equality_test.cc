// Model averaging: what local steps and their average do to the parameters.

#include <gmock/gmock.h>

#include <cmath>

#include "plan/task_emitter.h"
#include "tests/executor/plan_equality.h"
#include "tests/support/toy_models.h"
#include "tests/support/toy_plan.h"

namespace pluto {
namespace {

using pluto::testing::Equality;
using pluto::testing::expect_close;
using pluto::testing::kEqualitySteps;
using pluto::testing::NetworkPace;
using pluto::testing::Outcome;
using pluto::testing::plan_with;
using pluto::testing::Values;
using pluto::testing::with_sgd;

/// Parameters alone: ranks keep optimizer states of their own.
Outcome parameters_of(Outcome outcome, const ModelGraph& model) {
  std::erase_if(outcome.tensors, [&](const auto& entry) {
    const auto id = model.graph.find_tensor(entry.first);
    return !id || model.graph.tensor(*id).role != TensorRole::kParameter;
  });
  return outcome;
}
TEST(LocalStepsTest, EndWithTheMeanOfWhatRanksLearntAlone) {
  const ModelGraph model = pluto::testing::two_layers();
  for (const std::int64_t accumulation : {1, 2}) {
    Plan plan = with_sgd(plan_with(model, SyncMethod::kAllReduce, 3, 2, accumulation), 0);
    plan.local.steps = kEqualitySteps;
    plan.buckets.front().chunks = 2;
    const Equality equality(model, plan, 3);
    const Outcome expected = parameters_of(equality.untransformed(), model);
    for (const NetworkPace pace : {NetworkPace::kEager, NetworkPace::kLazy}) {
      expect_equal(parameters_of(equality.lowered(pace), model), expected, "local steps");
    }
  }
}

/// The plan with an average in every step, which no plan asks for: it would be synchronous.
LoweredPlan averaged_each_step(const ModelGraph& model, const Plan& plan, double momentum) {
  const TrainingGraph training = unsynchronized(model, plan).value();
  Bucket bucket;
  for (const TrainedParameter& trained : training.trained) {
    bucket.parameters.push_back(trained.parameter);
  }
  LoweredPlan lowered;
  lowered.training =
      average_parameters(training, std::vector{bucket}, plan.layout.data, momentum).value();
  lowered.program = emit_tasks(lowered.training, plan);
  return lowered;
}

TEST(LocalStepsTest, OneLocalStepIsSynchronousTraining) {
  const ModelGraph model = pluto::testing::two_layers();
  for (const std::uint64_t seed : {0, 1}) {  // with and without momentum
    const Plan plan = with_sgd(plan_with(model, SyncMethod::kAllReduce, 3, 2, 2), seed);
    Equality equality(model, plan, 4);
    const Outcome expected = parameters_of(equality.untransformed(), model);
    equality.set_loss_scale(plan.layout.data);
    const LoweredPlan local = averaged_each_step(model, plan, 0);
    expect_equal(parameters_of(equality.run(local, NetworkPace::kLazy, kEqualitySteps), model),
                 expected, "one local step");
  }
}

TEST(LocalStepsTest, BlockMomentumCarriesTheAveragedUpdateOn) {
  const ModelGraph model = pluto::testing::two_layers();
  Plan plan = plan_with(model, SyncMethod::kAllReduce, 3, 2);
  plan.optimizer = SgdAttrs{};
  Equality equality(model, plan, 5);
  equality.set_loss_scale(plan.layout.data);
  const LoweredPlan plain = averaged_each_step(model, plan, 0);
  const LoweredPlan carried = averaged_each_step(model, plan, 0.5);
  const auto weights = [&](const LoweredPlan& lowered, int steps) {
    return equality.run(lowered, NetworkPace::kEager, steps).tensors.at("fc1.weight");
  };
  // The first average is the plain one; the second goes half the first update further.
  const Values start = weights(plain, 0), one = weights(plain, 1), two = weights(plain, 2);
  const Values first = weights(carried, 1), second = weights(carried, 2);
  double moved = 0;
  for (std::size_t i = 0; i < start.size(); ++i) {
    expect_close(first[i], one[i], "first average");
    expect_close(second[i], two[i] + 0.5F * (one[i] - start[i]), "second average");
    moved += std::abs(one[i] - start[i]);
  }
  EXPECT_GT(moved, 1e-3);
}

}  // namespace
}  // namespace pluto
