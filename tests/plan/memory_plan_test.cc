#include "plan/memory_plan.h"

#include <gmock/gmock.h>

#include <map>

#include "model/zoo.h"
#include "plan/lowering.h"
#include "tests/support/graph_checks.h"
#include "tests/support/memory_checker.h"
#include "tests/support/random_model.h"
#include "tests/support/toy_models.h"
#include "tests/support/toy_plan.h"

namespace pluto {
namespace {

using pluto::testing::MemoryChecker;
using pluto::testing::plan_for;
using pluto::testing::plan_with;
using pluto::testing::random_plan;
using pluto::testing::RandomModel;
using pluto::testing::two_layers;
using ::testing::IsEmpty;

struct Planned {
  LoweredPlan lowered;
  MemoryPlan memory;

  const Graph& graph() const { return lowered.training.graph; }
  Bytes offset(const std::string& name) const {
    return memory.offset[graph().find_tensor(name)->index()];
  }
  Bytes size(const std::string& name) const {
    return memory.size[graph().find_tensor(name)->index()];
  }
  std::vector<std::string> faults() const {
    return MemoryChecker(lowered.training, lowered.program, memory).faults();
  }
};

Planned planned(const ModelGraph& model, const Plan& plan, const MemoryOptions& options = {},
                const WorkspaceOf& workspace = {}) {
  auto lowered = lower(model, plan);
  EXPECT_TRUE(lowered.ok()) << lowered.error().message;
  MemoryPlan memory = plan_memory(lowered->training, lowered->program, workspace, options);
  return {std::move(*lowered), std::move(memory)};
}

Plan varied_plan(const ModelGraph& model, std::uint64_t seed) {
  const int ranks = 1 + static_cast<int>(seed % 4);
  const auto micro_batch = 1 + static_cast<std::int64_t>(seed % 3);
  const auto accumulation = 1 + static_cast<std::int64_t>(seed / 2 % 3);
  return random_plan(model, seed, ranks, micro_batch, accumulation);
}

TEST(MemoryPlanTest, ValuesThatMeetNeverShareBytes) {
  int in_place = 0;
  for (std::uint64_t seed = 0; seed < 240; ++seed) {
    const ModelGraph model = RandomModel::make(seed);
    const Planned plan = planned(model, varied_plan(model, seed));
    EXPECT_THAT(plan.faults(), IsEmpty()) << seed;
    for (const Op& op : plan.graph().ops()) {
      if (!may_overwrite(plan.graph(), op)) continue;
      in_place +=
          plan.memory.offset[op.inputs[0].index()] == plan.memory.offset[op.outputs[0].index()];
    }
  }
  EXPECT_GT(in_place, 240);
}

TEST(MemoryPlanTest, PeakLiesBetweenWhatLivesAndNoReuse) {
  std::int64_t saved = 0, apart_total = 0;
  for (std::uint64_t seed = 0; seed < 80; ++seed) {
    const ModelGraph model = RandomModel::make(seed);
    const Plan plan = varied_plan(model, seed);
    const Planned reused = planned(model, plan), apart = planned(model, plan, {false});
    const MemoryChecker checker(reused.lowered.training, reused.lowered.program, reused.memory);
    EXPECT_GE(reused.memory.breakdown.activations, checker.lower_bound()) << seed;
    EXPECT_GE(reused.memory.breakdown.activations, reused.memory.peak_live) << seed;
    EXPECT_LE(reused.memory.breakdown.activations, apart.memory.breakdown.activations) << seed;
    EXPECT_THAT(apart.faults(), IsEmpty()) << seed;
    apart_total += apart.memory.breakdown.activations.value();
    saved += (apart.memory.breakdown.activations - reused.memory.breakdown.activations).value();
  }
  EXPECT_GT(saved, apart_total / 4);
}

TEST(MemoryPlanTest, WithoutReuseEveryTensorHasItsOwnPlace) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const ModelGraph model = RandomModel::make(seed);
    const Planned plan = planned(model, varied_plan(model, seed), {false});
    std::map<Bytes, std::string> owner;
    for (const Tensor& tensor : plan.graph().tensors()) {
      const auto [place, fresh] = owner.emplace(plan.memory.offset[tensor.id.index()], tensor.name);
      EXPECT_TRUE(fresh) << tensor.name << " lies on " << place->second;
    }
  }
}

TEST(MemoryPlanTest, BucketsAreSlicesInEveryBlock) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    const ModelGraph model = RandomModel::make(seed);
    const Planned plan = planned(model, varied_plan(model, seed));
    for (const Op& op : plan.graph().ops()) {
      if (op.kind != OpKind::kAllReduce && op.kind != OpKind::kServerPush &&
          op.kind != OpKind::kServerPull) {
        continue;
      }
      for (std::size_t i = 1; i < op.updates.size(); ++i) {
        const std::size_t before = op.updates[i - 1].index();
        EXPECT_EQ(plan.memory.offset[op.updates[i].index()],
                  plan.memory.offset[before] + plan.memory.size[before])
            << seed << " " << op.name;
      }
    }
    // Optimizer state runs parallel to its parameters, so that a shard of one is a shard of all.
    const auto& trained = plan.lowered.training.trained;
    for (std::size_t i = 0; i < trained.size(); ++i) {
      const auto place = [&](TensorId id, TensorId first) {
        return plan.memory.offset[id.index()] - plan.memory.offset[first.index()];
      };
      const Bytes parameter = place(trained[i].parameter, trained[0].parameter);
      EXPECT_EQ(place(trained[i].gradient, trained[0].gradient), parameter);
      for (std::size_t k = 0; k < trained[i].state.size(); ++k) {
        EXPECT_EQ(place(trained[i].state[k], trained[0].state[k]), parameter);
      }
    }
  }
}

TEST(MemoryPlanTest, CategoriesAreExact) {
  Plan plan = plan_for(two_layers(), 1, 10);
  plan.optimizer = AdamAttrs{};
  const MemoryPlan memory = planned(two_layers(), plan).memory;
  EXPECT_EQ(memory.breakdown.parameters, Bytes(256));  // 51 floats
  EXPECT_EQ(memory.breakdown.gradients, Bytes(256));
  EXPECT_EQ(memory.breakdown.optimizer_state, Bytes(512));  // m and v
  EXPECT_EQ(memory.breakdown.buffers, Bytes(0));
  EXPECT_EQ(memory.breakdown.inputs, Bytes(2 * (192 + 64)));  // 40 floats and 10 labels, twice
  EXPECT_EQ(memory.input_set_stride, Bytes(256));
  EXPECT_EQ(memory.breakdown.workspace, Bytes(0));
  EXPECT_EQ(memory.breakdown.communication, Bytes(0));
  // The loss, and at fc2.backward_data act1, its gradient (60 floats each) and that of the logits
  // (30).
  EXPECT_EQ(memory.breakdown.activations, Bytes(64 + 256 + 256 + 128));
}

TEST(MemoryPlanTest, BuffersHaveTheirOwnBlock) {
  const ModelGraph model = pluto::testing::residual_block();
  EXPECT_EQ(planned(model, plan_for(model)).memory.breakdown.buffers, Bytes(4 * 64));
}

TEST(MemoryPlanTest, OffsetsAreAligned) {
  const ModelGraph model = RandomModel::make(11);
  const Planned plan = planned(model, plan_with(model, SyncMethod::kAllReduce, 3));
  for (const Tensor& tensor : plan.graph().tensors()) {
    const bool flat = tensor.role == TensorRole::kParameter ||
                      tensor.role == TensorRole::kGradient ||
                      tensor.role == TensorRole::kOptimizerState;
    EXPECT_EQ(plan.memory.offset[tensor.id.index()].value() % (flat ? 4 : 64), 0) << tensor.name;
  }
  EXPECT_EQ(plan.memory.workspace_offset.value() % 64, 0);
  EXPECT_EQ(plan.memory.communication_offset.value() % 64, 0);
}

TEST(MemoryPlanTest, WorkspaceIsTheLargestAsked) {
  const Planned plan = planned(two_layers(), plan_for(two_layers()), {}, [](const Op& op) {
    return op.name == "fc1" ? Bytes(1000) : op.name == "fc2" ? Bytes(500) : Bytes(0);
  });
  EXPECT_EQ(plan.memory.breakdown.workspace, Bytes(1024));
  EXPECT_THAT(plan.faults(), IsEmpty());
}

/// x(4) -> fc1(6) and fc2(6) = logits -> sum -> act (gelu) -> loss: after the sum nothing of the
/// step needs the logits, and act is as large as they are.
ModelGraph logits_before_the_end() {
  GraphBuilder b;
  ModelGraph model;
  model.inputs = {b.input("x", {{4}})};
  model.labels = b.input("labels", {}, DType::kI32);
  const auto linear = [&](const std::string& name) {
    const TensorId weight = b.parameter(name + ".weight", {{6, 4}}, {Init::Kind::kNormal, 0.5});
    return b.forward(name, OpKind::kLinear, LinearAttrs{6, false}, {model.inputs[0], weight});
  };
  const TensorId fc1 = linear("fc1");
  model.logits = linear("fc2");
  const TensorId sum = b.forward("sum", OpKind::kAdd, AddAttrs{}, {fc1, model.logits});
  const TensorId act = b.forward("act", OpKind::kGelu, NoAttrs{}, {sum});
  model.loss = b.forward("loss", OpKind::kSoftmaxCrossEntropy, NoAttrs{}, {act, model.labels});
  return testing::finished(std::move(b), std::move(model));
}

TEST(MemoryPlanTest, EvaluationKeepsItsLogits) {
  const ModelGraph model = logits_before_the_end();
  const Planned plan = planned(model, plan_for(model));
  const auto apart = [&](const std::string& other) {
    const Bytes logits = plan.offset("fc2"), begin = plan.offset(other);
    return logits + plan.size("fc2") <= begin || begin + plan.size(other) <= logits;
  };
  EXPECT_TRUE(apart("fc1"));
  EXPECT_TRUE(apart("sum"));
  EXPECT_TRUE(apart("act")) << "overwrites the logits before they are read";
  EXPECT_TRUE(apart("loss"));
}

TEST(MemoryPlanTest, ReshapesShareTheirPlaceExceptOfInputs) {
  int shared = 0, copied = 0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    const ModelGraph model = RandomModel::make(seed);
    const Planned plan = planned(model, varied_plan(model, seed));
    for (const Op& op : plan.graph().ops()) {
      if (op.kind != OpKind::kReshape) continue;
      const bool same =
          plan.memory.offset[op.inputs[0].index()] == plan.memory.offset[op.outputs[0].index()];
      const bool input = plan.graph().tensor(op.inputs[0]).role == TensorRole::kInput;
      EXPECT_NE(same, input) << seed << " " << op.name;
      ++(same ? shared : copied);
    }
  }
  EXPECT_GT(shared, 60);
  EXPECT_GT(copied, 5);
}

TEST(MemoryPlanTest, PeakTaskIsWhereMostLives) {
  const Planned plan = planned(two_layers(), plan_for(two_layers(), 1, 10));
  ASSERT_TRUE(plan.memory.peak_task.valid());
  const Task& task = plan.lowered.program.tasks[plan.memory.peak_task.index()];
  EXPECT_EQ(task_name(plan.lowered.training, plan.lowered.program, task), "fc2.backward_data");
  EXPECT_EQ(plan.memory.peak_live, Bytes(4 + 240 + 240 + 120));
}

TEST(MemoryPlanTest, MemoryIsFreeAfterItsLastUse) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const ModelGraph model = RandomModel::make(seed);
    const Planned plan = planned(model, varied_plan(model, seed));
    for (const Op& op : plan.graph().ops()) {
      if (std::holds_alternative<CommAttrs>(op.attrs)) continue;
      for (const auto* operands : {&op.inputs, &op.outputs}) {
        for (TensorId id : *operands) {
          const OpId free_after = plan.memory.free_after[id.index()];
          if (plan.graph().tensor(id).role != TensorRole::kActivation) {
            EXPECT_FALSE(free_after.valid());
          } else if (free_after.valid()) {
            EXPECT_LE(op.id, free_after) << seed << " " << plan.graph().tensor(id).name;
          }
        }
      }
    }
    EXPECT_FALSE(plan.memory.free_after[plan.lowered.training.loss.index()].valid());
  }
}

TEST(MemoryPlanTest, RealModelsAreLawfulAndTight) {
  for (const char* name : {"lenet", "googlenet", "resnet18", "gru-seq2seq", "gpt-small"}) {
    const ModelGraph model = build_model(name).value();
    const Planned plan = planned(model, plan_with(model, SyncMethod::kParameterServer, 4, 2));
    EXPECT_THAT(plan.faults(), IsEmpty()) << name;
    // Rounding to 64 bytes and fragmentation together.
    EXPECT_LT(plan.memory.breakdown.activations / plan.memory.peak_live, 1.05) << name;
  }
}

TEST(MemoryPlanTest, MoreSamplesNeedMoreMemory) {
  const ModelGraph model = RandomModel::make(5);
  Bytes last;
  for (std::int64_t micro_batch : {1, 2, 4, 8, 16}) {
    const MemoryPlan memory = planned(model, plan_for(model, 1, micro_batch)).memory;
    EXPECT_GE(memory.breakdown.activations, last);
    last = memory.breakdown.activations;
  }
}

TEST(MemoryPlanTest, StagingIsTheLargestIncomingChunk) {
  const auto staging = [](SyncMethod method, int ranks, std::vector<int> servers = {}) {
    Plan plan = plan_with(two_layers(), method, ranks);
    if (!servers.empty()) plan.servers = std::move(servers);
    return communication_staging(lower(two_layers(), plan)->program);
  };
  EXPECT_EQ(staging(SyncMethod::kAllReduce, 2), Bytes(26 * 4));  // ceil(51 / 2)
  EXPECT_EQ(staging(SyncMethod::kAllReduce, 8), Bytes(7 * 4));   // ceil(51 / 8)
  EXPECT_EQ(staging(SyncMethod::kParameterServer, 8), Bytes(7 * 4));
  EXPECT_EQ(staging(SyncMethod::kParameterServer, 8, {3}), Bytes(51 * 4));
  EXPECT_EQ(staging(SyncMethod::kSufficientFactor, 8), Bytes(0));
  EXPECT_EQ(communication_staging(lower(two_layers(), plan_for(two_layers()))->program), Bytes(0));
}

TEST(MemoryPlanTest, TheCheckerSeesAnOverlap) {
  Planned plan = planned(two_layers(), plan_for(two_layers(), 1, 10));
  ASSERT_THAT(plan.faults(), IsEmpty());
  // The probabilities onto act1, which backward still needs.
  plan.memory.offset[plan.graph().find_tensor("loss:1")->index()] = plan.offset("act1");
  EXPECT_FALSE(plan.faults().empty());
}

}  // namespace
}  // namespace pluto
