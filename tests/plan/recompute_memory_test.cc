// What activation checkpointing saves in planned memory and costs in arithmetic.

#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "model/op_schema.h"
#include "model/passes/recompute.h"
#include "model/zoo.h"
#include "plan/lowering.h"
#include "plan/memory_plan.h"
#include "tests/support/memory_checker.h"
#include "tests/support/random_model.h"
#include "tests/support/toy_plan.h"

namespace pluto {
namespace {

using pluto::testing::MemoryChecker;
using pluto::testing::plan_for;
using pluto::testing::random_plan;
using pluto::testing::RandomModel;
using ::testing::IsEmpty;

constexpr double kMiB = 1 << 20;

struct Cost {
  double activations = 0;                       // MiB of one sample
  double forward = 0, repeated = 0, total = 0;  // GFLOP
};

/// Of one step of one sample on one rank.
Cost cost_of(const ModelGraph& model, Recompute how) {
  Plan plan = plan_for(model);
  plan.fuse = true;
  const auto training = recompute(unsynchronized(model, plan).value(), how);
  EXPECT_TRUE(training.ok()) << training.error().message;
  const LoweredPlan lowered = lower(*training, plan).value();
  Cost cost;
  cost.activations =
      static_cast<double>(
          plan_memory(lowered.training, lowered.program, {}).breakdown.activations.value()) /
      kMiB;
  for (const Op& op : training->graph.ops()) {
    const double flops = op_work(training->graph, op, 1).flops.value() / 1e9;
    cost.total += flops;
    if (training->phase[op.id.index()] == OpPhase::kForward) cost.forward += flops;
    if (op.name.ends_with(".recompute")) cost.repeated += flops;
  }
  return cost;
}

struct Golden {
  const char* model;
  Recompute recompute;
  double activations;  // MiB
  double repeated;     // part of the FLOPs of forward
};

// By hand, GPT-2 (1,024 tokens, width 768, 12 layers and heads; 3 MiB = tokens x width): selective
// drops the result and the row sums of each attention, 12 x (3 + 12 x 1,024 x 4 B) = 36.6 MiB. Full
// leaves the inputs of the layers, 12 x 3, the last layer's result with its norm and the two
// tensors of the logits, 196.3 each; it repeats all of a layer but its last product.
TEST(RecomputeMemoryTest, ActivationsFallForTheFlopsOfWhatIsRepeated) {
  const std::vector<Golden> rows = {
      {"gpt2", Recompute::kNone, 975.39, 0},
      {"gpt2", Recompute::kSelective, 938.83, 0.0723},
      {"gpt2", Recompute::kFull, 434.64, 0.4982},
      {"resnet50", Recompute::kNone, 81.93, 0},
      {"resnet50", Recompute::kSelective, 55.86, 0.0089},
      {"resnet50", Recompute::kFull, 29.10, 0.6133},
  };
  for (const Golden& row : rows) {
    const Cost cost = cost_of(build_model(row.model).value(), row.recompute);
    const std::string what = std::string(row.model) + " " + to_text(row.recompute);
    EXPECT_NEAR(cost.activations, row.activations, 0.01) << what;
    EXPECT_NEAR(cost.repeated / cost.forward, row.repeated, 1e-4) << what;
  }
}

TEST(RecomputeMemoryTest, FlopsGrowByTheCopiesAlone) {
  for (const char* name : {"gpt-small", "resnet18", "googlenet", "lstm-lm"}) {
    const ModelGraph model = build_model(name).value();
    const Cost none = cost_of(model, Recompute::kNone);
    EXPECT_EQ(none.repeated, 0) << name;
    for (const auto how : {Recompute::kSelective, Recompute::kFull}) {
      const Cost cost = cost_of(model, how);
      EXPECT_EQ(cost.forward, none.forward) << name;
      EXPECT_NEAR(cost.total, none.total + cost.repeated, 1e-9 * none.total) << name;
      EXPECT_LT(cost.repeated, cost.forward) << name;
    }
  }
}

TEST(RecomputeMemoryTest, MoreIsRepeatedForLessMemory) {
  for (const char* name : {"alexnet", "vgg16", "googlenet", "inception-v3", "resnet18", "resnet152",
                           "lstm-lm", "gru-seq2seq", "gpt-small", "bert-base"}) {
    const ModelGraph model = build_model(name).value();
    const double none = cost_of(model, Recompute::kNone).activations;
    const double selective = cost_of(model, Recompute::kSelective).activations;
    const double full = cost_of(model, Recompute::kFull).activations;
    EXPECT_LE(selective, none) << name;
    EXPECT_LT(full, none) << name;
  }
}

TEST(RecomputeMemoryTest, ValuesThatMeetNeverShareBytes) {
  int copies = 0;
  for (std::uint64_t seed = 0; seed < 80; ++seed) {
    const ModelGraph model = RandomModel::make(seed);
    const Plan plan = random_plan(model, seed, 1 + static_cast<int>(seed % 3), 2, 1 + seed % 2);
    for (const auto how : {Recompute::kSelective, Recompute::kFull}) {
      const auto training = recompute(unsynchronized(model, plan).value(), how);
      ASSERT_TRUE(training.ok()) << seed << ": " << training.error().message;
      for (const Op& op : training->graph.ops()) copies += op.name.ends_with(".recompute") ? 1 : 0;
      const auto lowered = lower(*training, plan);
      ASSERT_TRUE(lowered.ok()) << seed << ": " << lowered.error().message;
      const MemoryPlan memory = plan_memory(lowered->training, lowered->program, {});
      EXPECT_THAT(MemoryChecker(lowered->training, lowered->program, memory).faults(), IsEmpty())
          << seed;
    }
  }
  EXPECT_GT(copies, 160);
}

}  // namespace
}  // namespace pluto
