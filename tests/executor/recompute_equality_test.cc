// Activation checkpointing changes no bit of what is trained.

#include <gmock/gmock.h>

#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/philox.h"
#include "model/passes/passes.h"
#include "model/passes/recompute.h"
#include "model/zoo.h"
#include "runtime/backends.h"
#include "tests/support/graph_runner.h"
#include "tests/support/random_model.h"
#include "tests/support/recompute_models.h"
#include "tests/support/step_interpreter.h"
#include "tests/support/toy_plan.h"

namespace pluto {
namespace {

using pluto::testing::GraphRunner;
using pluto::testing::NetworkPace;
using pluto::testing::plan_for;
using pluto::testing::RandomModel;
using pluto::testing::small_gpt;
using pluto::testing::small_resnet;
using pluto::testing::StepInterpreter;
using pluto::testing::Values;

constexpr int kSteps = 2;
constexpr std::int64_t kBatch = 2;

/// Values by the tensor's name alone, so that transformed graphs start alike.
Values values_of(const Tensor& tensor, int step) {
  Values values(static_cast<std::size_t>(tensor.type.elements(kBatch)));
  const std::uint64_t seed = std::hash<std::string>()(tensor.name) + static_cast<unsigned>(step);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (tensor.type.dtype == DType::kI32) {
      values[i] = std::floor(3 * philox_uniform(seed, 0, 0, i));
    } else if (tensor.role == TensorRole::kInput || tensor.init.kind == Init::Kind::kNormal) {
      values[i] = 0.3F * philox_normal(seed, 1, 0, i);
    } else {
      values[i] = tensor.init.kind == Init::Kind::kOnes ? 1.0F : 0.0F;
    }
  }
  return values;
}

StepScalars scalars_of(int step, int micro) {
  StepScalars scalars;
  scalars.learning_rate = 0.05;
  scalars.loss_scale = 0.25;
  scalars.seed = 5;
  scalars.step = step;
  scalars.micro_index = micro;
  scalars.sample_offset = micro * kBatch;
  return scalars;
}

/// What steps leave behind: persistent tensors by name, and the losses.
using Outcome = std::map<std::string, Values>;

/// Every tensor in memory of its own.
Outcome outcome_of(const TrainingGraph& training, Device& device) {
  const Graph& graph = training.graph;
  GraphRunner runner(graph, device, kBatch);
  Outcome outcome;
  for (const Tensor& tensor : graph.tensors()) {
    if (is_persistent(tensor.role) && !tensor.producer) runner.set(tensor.id, values_of(tensor, 0));
  }
  for (int step = 0; step < kSteps; ++step) {
    for (TensorId id : graph.with_role(TensorRole::kInput)) {
      runner.set(id, values_of(graph.tensor(id), step));
    }
    runner.run(scalars_of(step, 0));
    outcome["loss" + std::to_string(step)] = runner.get(training.loss);
  }
  for (const Tensor& tensor : graph.tensors()) {
    if (is_persistent(tensor.role)) outcome[tensor.name] = runner.get(tensor.id);
  }
  return outcome;
}

/// Two micro-batches a step on planned memory, with NaN over what is free.
Outcome planned_outcome(const TrainingGraph& training, const ModelGraph& model, Device& device) {
  const Plan plan = plan_for(model, 1, kBatch, 2);
  const LoweredPlan lowered = lower(accumulate_gradients(training, 2).value(), plan).value();
  const Graph& graph = lowered.training.graph;
  StepInterpreter interpreter(lowered, plan, device);
  for (const Tensor& tensor : graph.tensors()) {
    if (is_persistent(tensor.role)) interpreter.set(0, tensor.id, values_of(tensor, 0));
  }
  Outcome outcome;
  for (int step = 0; step < kSteps; ++step) {
    const auto batch = [&](int, int micro) {
      std::vector<Values> tensors;
      for (TensorId id : graph.with_role(TensorRole::kInput)) {
        tensors.push_back(values_of(graph.tensor(id), 2 * step + micro));
      }
      return tensors;
    };
    const auto losses = interpreter.step(
        batch, [&](int, int micro) { return scalars_of(step, micro); }, NetworkPace::kEager);
    outcome["loss" + std::to_string(step)] = losses.front();
  }
  for (const Tensor& tensor : graph.tensors()) {
    if (is_persistent(tensor.role)) outcome[tensor.name] = interpreter.get(0, tensor.id);
  }
  return outcome;
}

void expect_same_bits(const ModelGraph& model, Device& device, int& copies) {
  const TrainingGraph training = differentiate(model, SgdAttrs{0.9, 0.01, false}).value();
  const Outcome expected = outcome_of(training, device);
  const Outcome planned = planned_outcome(training, model, device);
  for (const auto how : {Recompute::kSelective, Recompute::kFull}) {
    const auto result = recompute(training, how);
    ASSERT_TRUE(result.ok()) << result.error().message;
    EXPECT_EQ(outcome_of(*result, device), expected) << model.name << " " << to_text(how);
    EXPECT_EQ(planned_outcome(*result, model, device), planned)
        << model.name << " " << to_text(how) << ", planned";
    copies += static_cast<int>(result->graph.ops().size() - training.graph.ops().size());
  }
}

class RecomputeEqualityTest : public ::testing::TestWithParam<const char*> {
 protected:
  void expect_same(const ModelGraph& model, int least_copies) {
    int copies = 0;
    const auto device = open_device(GetParam(), 1).value();
    expect_same_bits(model, *device, copies);
    EXPECT_GE(copies, least_copies) << model.name;
  }
};

TEST_P(RecomputeEqualityTest, LeNet) { expect_same(build_model("lenet").value(), 5); }

TEST_P(RecomputeEqualityTest, BatchNormsFollowEachMicroBatchOnce) {
  expect_same(small_resnet(), 20);
  expect_same(fuse(small_resnet()).value(), 14);
}

TEST_P(RecomputeEqualityTest, DropoutDrawsTheSameMask) {
  expect_same(small_gpt(3, false), 25);
  expect_same(small_gpt(2, true), 25);
}

TEST_P(RecomputeEqualityTest, RandomModels) {
  int copies = 0;
  const auto device = open_device(GetParam(), 1).value();
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    expect_same_bits(RandomModel::make(seed), *device, copies);
    if (HasFailure()) break;
  }
  EXPECT_GT(copies, 100);
}

INSTANTIATE_TEST_SUITE_P(Backends, RecomputeEqualityTest, ::testing::Values("reference", "cpu"),
                         [](const auto& param_info) { return std::string(param_info.param); });

}  // namespace
}  // namespace pluto
