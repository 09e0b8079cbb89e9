#include "executor/step_code.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "executor/initial_values.h"
#include "executor/training_state.h"
#include "runtime/reference/reference_device.h"
#include "tests/executor/executor_models.h"
#include "tests/executor/rank_runs.h"

namespace pluto {
namespace {

using testing::tiny_plan;
using testing::TinyPlan;

struct Compiled {
  std::unique_ptr<Device> device = make_reference_device();
  std::unique_ptr<LoweredPlan> program;
  std::optional<StepCode> code;
};

Compiled compiled(const ModelGraph& model, const Plan& plan, int rank = 0) {
  Compiled made;
  made.program = std::make_unique<LoweredPlan>(testing::lowered(model, plan));
  auto code = StepCode::compile(*made.program, plan.servers, rank, *made.device, {});
  EXPECT_TRUE(code.ok()) << code.error().message;
  made.code = std::move(*code);
  return made;
}

Plan plan_for(const ModelGraph& model, int ranks, int accumulation, SyncMethod method) {
  TinyPlan tiny;
  tiny.ranks = ranks;
  tiny.accumulation = accumulation;
  Plan plan = tiny_plan(model, tiny);
  testing::set_method(plan, model, method);
  if (method == SyncMethod::kParameterServer) plan.servers = {1, 0};
  return plan;
}

TEST(StepCodeTest, OneRankHasNoNetworkEntries) {
  const ModelGraph model = testing::two_layers();
  const Compiled made = compiled(model, tiny_plan(model, {}));
  EXPECT_TRUE(made.code->network().empty());
  EXPECT_TRUE(made.code->compute()[0].acquire) << "the batch comes first";
}

TEST(StepCodeTest, EveryMicroBatchIsAcquiredBeforeItsFirstNode) {
  const ModelGraph model = testing::two_layers();
  const Compiled made = compiled(model, plan_for(model, 2, 3, SyncMethod::kAllReduce));
  int acquired = 0;
  for (const ComputeEntry& entry : made.code->compute()) {
    if (entry.acquire) {
      EXPECT_EQ(entry.micro_index, acquired++);
    }
    EXPECT_EQ(entry.micro_index, acquired - 1);
  }
  EXPECT_EQ(acquired, 3);
}

TEST(StepCodeTest, TasksWaitForThePredecessorsOnTheOtherThread) {
  const ModelGraph model = testing::small_conv();
  for (const SyncMethod method :
       {SyncMethod::kAllReduce, SyncMethod::kParameterServer, SyncMethod::kSufficientFactor}) {
    const Compiled made = compiled(model, plan_for(model, 2, 2, method));
    const auto& tasks = made.code->program().tasks;
    std::vector<std::size_t> compute(tasks.size()), network(tasks.size());
    for (std::size_t i = 0; i < made.code->compute().size(); ++i) {
      compute[made.code->compute()[i].task.index()] = i;
    }
    for (std::size_t i = 0; i < made.code->network().size(); ++i) {
      network[made.code->network()[i].task.index()] = i;
    }
    for (const ComputeEntry& entry : made.code->compute()) {
      for (const TaskId id : tasks[entry.task.index()].predecessors) {
        if (entry.acquire || tasks[id.index()].resource != Resource::kNetwork) continue;
        EXPECT_GT(entry.network_before, network[id.index()]);
      }
    }
    for (const NetworkEntry& entry : made.code->network()) {
      for (const TaskId id : tasks[entry.task.index()].predecessors) {
        if (tasks[id.index()].resource == Resource::kNetwork) continue;
        EXPECT_GT(entry.compute_before, compute[id.index()]);
        EXPECT_TRUE(made.code->compute()[compute[id.index()]].awaited);
      }
    }
  }
}

TEST(StepCodeTest, ABucketIsOneSliceOfTheGradients) {
  const ModelGraph model = testing::two_layers();
  const Compiled made = compiled(model, plan_for(model, 2, 1, SyncMethod::kAllReduce));
  ASSERT_EQ(made.code->network().size(), 1U);
  EXPECT_EQ(made.code->network()[0].values.size(), 51U);
}

TEST(StepCodeTest, AServerUpdatesItsShardsAndOthersNothing) {
  const ModelGraph model = testing::two_layers();
  Plan plan = plan_for(model, 3, 1, SyncMethod::kParameterServer);
  std::vector<std::int64_t> updated;
  for (int rank = 0; rank < 3; ++rank) {
    const Compiled made = compiled(model, plan, rank);
    std::int64_t nodes = 0;
    for (const ComputeEntry& entry : made.code->compute()) {
      nodes += entry.phase == OpPhase::kUpdate && entry.kernel != nullptr ? 1 : 0;
    }
    updated.push_back(nodes);
  }
  // Gradient order: fc2.weight (18), fc2.bias (3) | 25 and 26 of 51 elements | fc1.weight (24),
  // fc1.bias (6).
  EXPECT_EQ(updated[2], 0);
  EXPECT_EQ(updated[0] + updated[1], 5) << "one parameter is cut between the servers";
}

TEST(StepCodeTest, InputsHaveTwoPlacesAndOtherTensorsOne) {
  const ModelGraph model = testing::two_layers();
  const Compiled made = compiled(model, tiny_plan(model, {}));
  const StepCode& code = *made.code;
  EXPECT_NE(code.place(code.training().inputs[0], 0).data,
            code.place(code.training().inputs[0], 1).data);
  EXPECT_NE(code.place(code.training().labels, 0).data, code.place(code.training().labels, 1).data);
  EXPECT_EQ(code.place(code.training().logits, 0).data, code.place(code.training().logits, 1).data);
}

TEST(StepCodeTest, FactorsOfAnInputKeepItsSet) {
  const ModelGraph model = testing::two_layers();
  const Compiled made = compiled(model, plan_for(model, 2, 2, SyncMethod::kSufficientFactor));
  EXPECT_GT(made.code->input_readers(0), 0U);
  EXPECT_GT(made.code->input_readers(1), made.code->input_readers(0));
}

TEST(InitialValuesTest, TheyAreTheSameUnderEveryPlan) {
  const ModelGraph model = testing::residual_block();
  std::vector<float> expected;
  for (const int ranks : {1, 2, 3}) {
    Plan plan = plan_for(model, ranks, 1, SyncMethod::kAllReduce);
    plan.fuse = ranks != 3;
    Compiled made = compiled(model, plan);
    ASSERT_TRUE(set_initial_values(*made.code, 9, *made.device).ok());
    const auto values = copy_parameters(*made.code, *made.device);
    if (expected.empty()) expected = values;
    EXPECT_EQ(values, expected) << ranks << " ranks";
    ASSERT_TRUE(set_initial_values(*made.code, 10, *made.device).ok());
    EXPECT_NE(copy_parameters(*made.code, *made.device), expected);
  }
}

TEST(InitialValuesTest, TheyFollowTheInitOfEachTensor) {
  const ModelGraph model = testing::image_classifier(3, 20, 10);
  Compiled made = compiled(model, tiny_plan(model, {}));
  ASSERT_TRUE(set_initial_values(*made.code, 9, *made.device).ok());
  const auto values = copy_parameters(*made.code, *made.device);
  ASSERT_EQ(values.size(), 12010U);
  double sum = 0, squares = 0;
  for (std::size_t i = 0; i < 12000; ++i) {
    sum += static_cast<double>(values[i]);
    squares += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  }
  EXPECT_NEAR(sum / 12000, 0, 3e-4);
  EXPECT_NEAR(std::sqrt(squares / 12000), 0.01, 3e-4);
  for (std::size_t i = 12000; i < 12010; ++i) EXPECT_EQ(values[i], 0.0F);
}

TEST(TrainingStateTest, BlocksAreInModelOrderUnderEveryPlan) {
  const ModelGraph model = testing::small_conv();
  const Compiled one = compiled(model, tiny_plan(model, {}));
  const auto expected = state_blocks(*one.code);
  ASSERT_EQ(expected.size(), 3U);
  EXPECT_EQ(expected[0].name, "parameters");
  EXPECT_EQ(expected[1].name, "buffers");
  EXPECT_EQ(expected[2].name, "optimizer_state_0");
  EXPECT_EQ(expected[0].size(), Bytes(4 * (72 + 4 + 180 + 5)));
  EXPECT_EQ(expected[2].size(), expected[0].size());
  Plan plan = plan_for(model, 2, 1, SyncMethod::kAllReduce);
  testing::mix_methods(plan, model);
  plan.servers = {0, 1};
  const Compiled two = compiled(model, plan);
  const auto blocks = state_blocks(*two.code);
  ASSERT_EQ(blocks.size(), expected.size());
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    EXPECT_EQ(blocks[i].layout, expected[i].layout);
    EXPECT_EQ(blocks[i].size(), expected[i].size());
  }
}

}  // namespace
}  // namespace pluto
