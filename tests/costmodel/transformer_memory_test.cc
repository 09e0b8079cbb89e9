#include "costmodel/transformer_memory.h"

#include <gtest/gtest.h>

namespace pluto {
namespace {

constexpr double kGibibyte = 1024.0 * 1024 * 1024;

struct Published {
  int layers, hidden, heads, pipeline, interleave, micro_batch;
  double none, selective;  // GiB
};

// Korthikanti et al. 2022: activations of the first stage at tensor = 8, without anything and with
// sequence parallelism and selective recompute.
constexpr Published kPublished[] = {{48, 6144, 64, 1, 1, 4, 59.25, 9.5625},
                                    {96, 12288, 96, 8, 3, 1, 66.84375, 12.3515625},
                                    {105, 20480, 128, 35, 3, 1, 114.0234375, 23.076171875},
                                    {128, 25600, 160, 64, 1, 1, 131.25, 26.5625}};

TransformerPlan plan_of(const Published& one) {
  TransformerPlan plan;
  plan.tensor = 8;
  plan.pipeline = one.pipeline;
  plan.interleave = one.interleave;
  plan.micro_batch = one.micro_batch;
  plan.global_batch = one.micro_batch * one.pipeline * 2;
  plan.precision = TrainPrecision::kFp16;
  return plan;
}

TEST(TransformerMemory, ActivationsAreThePublishedOnes) {
  for (const auto& one : kPublished) {
    const auto shape = TransformerShape::gpt(one.layers, one.hidden, one.heads, 2048, 51200);
    TransformerPlan plan = plan_of(one);
    const double layers = layers_in_flight(shape, plan, 0);
    EXPECT_NEAR(layers * layer_activation_bytes(shape, plan) / kGibibyte, one.none, 1e-6);
    plan.sequence_parallel = true;
    plan.recompute = Recompute::kSelective;
    EXPECT_NEAR(layers * layer_activation_bytes(shape, plan) / kGibibyte, one.selective, 1e-6);
  }
}

TEST(TransformerMemory, SavingsAreThePublishedOnes) {
  // Figure 7 of the same paper, 22B: shares of the tensor-parallel baseline in per cent. Measured
  // peaks, hence the tolerance.
  const auto shape = TransformerShape::gpt(48, 6144, 64, 2048, 51200);
  TransformerPlan plan = plan_of(kPublished[0]);
  const double all = layer_activation_bytes(shape, plan);
  plan.sequence_parallel = true;
  EXPECT_NEAR(100 * layer_activation_bytes(shape, plan) / all, 66.84, 2);
  plan.recompute = Recompute::kSelective;
  EXPECT_NEAR(100 * layer_activation_bytes(shape, plan) / all, 16.18, 1);
  plan.sequence_parallel = false;
  EXPECT_NEAR(100 * layer_activation_bytes(shape, plan) / all, 49.42, 1);
  plan.recompute = Recompute::kFull;
  EXPECT_NEAR(100 * layer_activation_bytes(shape, plan) / all, 7.64, 1);
}

TEST(TransformerMemory, StatesOf530BAreThePublishedOnes) {
  // The paper counts 18 bytes per parameter (gradients in 32 bits) and no embedding.
  const auto shape = TransformerShape::gpt(105, 20480, 128, 2048, 51200);
  TransformerPlan plan = plan_of(kPublished[2]);
  plan.gradient_bytes = 4;
  const auto middle = stage_memory(shape, plan, 17);
  const double states =
      static_cast<double>((middle.weights + middle.gradients + middle.optimizer).value());
  EXPECT_NEAR(states / kGibibyte, 31.640625, 0.01);
}

TEST(TransformerMemory, ShardingDividesWhatItNames) {
  const auto shape = TransformerShape::gpt(24, 2048, 16, 2048, 51200);
  TransformerPlan plan;
  plan.data = 8;
  plan.global_batch = 8;
  const auto none = stage_memory(shape, plan, 0);
  plan.shard = 1;
  const auto one = stage_memory(shape, plan, 0);
  EXPECT_EQ(one.gradients, none.gradients);
  EXPECT_NEAR(none.optimizer / one.optimizer, 8, 1e-6);
  plan.shard = 2;
  EXPECT_NEAR(none.gradients / stage_memory(shape, plan, 0).gradients, 8, 1e-6);
  plan.shard = 3;
  const auto three = stage_memory(shape, plan, 0);
  EXPECT_NEAR(none.weights / three.weights, 8, 1e-6);
  EXPECT_GT(three.gathered.value(), 0);
}

TEST(TransformerMemory, GrowsWithTheMicroBatch) {
  const auto shape = TransformerShape::gpt(48, 6144, 64, 2048, 51200);
  for (const auto recompute : {Recompute::kNone, Recompute::kSelective, Recompute::kFull}) {
    for (const int pipeline : {1, 4}) {
      Bytes before(0);
      for (int micro_batch = 1; micro_batch <= 16; micro_batch *= 2) {
        TransformerPlan plan;
        plan.tensor = 8;
        plan.pipeline = pipeline;
        plan.recompute = recompute;
        plan.micro_batch = micro_batch;
        plan.global_batch = 64;
        const auto memory = predict_transformer_memory(shape, plan);
        ASSERT_TRUE(memory.ok());
        EXPECT_GT(memory->activations + memory->working, before);
        before = memory->activations + memory->working;
      }
    }
  }
}

TEST(TransformerMemory, FewMicroBatchesFillFewSlots) {
  const auto shape = TransformerShape::gpt(96, 12288, 96, 2048, 51200);
  TransformerPlan plan;
  plan.tensor = 8;
  plan.pipeline = 8;
  plan.global_batch = 64;
  EXPECT_EQ(layers_in_flight(shape, plan, 0), 96);
  EXPECT_EQ(layers_in_flight(shape, plan, 7), 12);
  plan.global_batch = 2;
  EXPECT_EQ(layers_in_flight(shape, plan, 0), 24);
}

}  // namespace
}  // namespace pluto
