#include "planner/transformer_layers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "costmodel/transformer_memory.h"
#include "plan/catalog.h"

namespace pluto {
namespace {

class Layers : public ::testing::TestWithParam<AttentionKernel> {
 protected:
  Layers() {
    const std::string data = std::string(PLUTO_SOURCE_DIR) + "/data";
    const auto catalog = Catalog::load(data + "/catalog");
    const auto table = TransformerCostTable::load(data + "/transformer.json");
    place.candidate = {*catalog->instance("aws:p4d.24xlarge"), 32, 1, "cuda"};
    place.evidence = *transformer_evidence({}, place.candidate.instance.node.device, *table);
    job.precision = TrainPrecision::kBf16;
    job.attention = GetParam();
  }
  /// Calls `visit(plan)` with every plan of 32 ranks that has layers like `kind`.
  template <class Visit>
  void plans_of(const TransformerPlan& kind, Visit visit) const {
    const int outer = kRanks / (kind.tensor * kind.context);
    for (const int pipeline : {1, 2, 4}) {
      if (outer == 0 || outer % pipeline != 0) continue;
      TransformerPlan plan = kind;
      plan.pipeline = pipeline;
      plan.data = outer / pipeline;
      plan.global_batch = kBatch;
      if (plan.shard == 3 && pipeline > 1) continue;
      if (kBatch % (plan.data * plan.micro_batch) != 0) continue;
      for (const int shard : {0, 1}) {
        plan.shard = kind.shard == 3 ? 3 : shard;
        visit(plan);
      }
    }
  }
  Seconds step(const TransformerPlan& plan) const {
    return predict_transformer(shape, plan, {place.candidate.instance, 4}, place.evidence.costs)
        ->step();
  }

  static constexpr int kRanks = 32, kBatch = 32;
  TransformerShape shape = TransformerShape::gpt(8, 2048, 16, 1024, 51200);
  TransformerPlace place;
  TrainingJob job;
};

TEST_P(Layers, WhatIsLeftOutIsNeverFasterNorSmaller) {
  const std::array batches = {kBatch};
  const auto layers = placed_layers(job, shape, batches, place);
  EXPECT_TRUE(layers.too_large.empty());
  int left_out = 0, compared = 0;
  for (int flags = 0; flags < 2 * 3 * 2; ++flags) {
    for (const int tensor : {1, 2, 4, 8, 16}) {
      for (const int context : {1, 2, 16}) {
        for (const int micro_batch : {1, 2, 8, 32}) {
          TransformerPlan kind = layers.by_time.front().plan;
          kind.sequence_parallel = flags % 2 == 1;
          kind.recompute = static_cast<Recompute>(flags / 2 % 3);
          kind.shard = flags / 6 * 3;
          kind.tensor = tensor;
          kind.context = context;
          kind.micro_batch = kind.global_batch = micro_batch;
          if (kind.sequence_parallel && tensor == 1) continue;
          std::vector<TransformerPlan> kept;
          for (const PlacedLayer& one : layers.by_time) {
            const TransformerPlan& plan = one.plan;
            if (plan.tensor == tensor && plan.context == context &&
                plan.micro_batch == micro_batch && plan.shard == kind.shard) {
              kept.push_back(plan);
            }
          }
          ASSERT_FALSE(kept.empty());
          if (std::ranges::count(kept, kind) > 0) continue;
          ++left_out;
          plans_of(kind, [&](const TransformerPlan& plan) {
            ++compared;
            const Bytes memory = fullest_stage(shape, plan).reserved();
            EXPECT_TRUE(std::ranges::any_of(kept, [&](const TransformerPlan& other) {
              TransformerPlan same = plan;
              same.sequence_parallel = other.sequence_parallel;
              same.recompute = other.recompute;
              return step(same) <= step(plan) && fullest_stage(shape, same).reserved() <= memory;
            })) << to_text(plan);
          });
        }
      }
    }
  }
  EXPECT_GT(left_out, 50);
  EXPECT_GT(compared, 100);
}

TEST_P(Layers, NoPlanThatFitsIsSaidNotTo) {
  shape.sequence = 8192;
  const std::array batches = {kBatch};
  int some = 0;
  for (const PlacedLayer& one : placed_layers(job, shape, batches, place).by_time) {
    plans_of(one.plan, [&](const TransformerPlan& plan) {
      ++some;
      const auto needed = static_cast<double>(fullest_stage(shape, plan).allocated().value());
      EXPECT_TRUE(may_fit(one, shape.layers, kRanks, kBatch, needed)) << to_text(plan);
    });
    EXPECT_FALSE(may_fit(one, shape.layers, kRanks, kBatch, one.kept_bytes / kBatch / 2));
  }
  EXPECT_GT(some, 100);
}

TEST_P(Layers, WhatIsTooLargeIsKeptApart) {
  shape.sequence = 8192;
  place.candidate.instance.node.device.memory = Bytes(3LL << 30);
  const std::array batches = {kBatch};
  const auto layers = placed_layers(job, shape, batches, place);
  EXPECT_FALSE(layers.too_large.empty());
  EXPECT_FALSE(layers.by_time.empty());
  for (const auto* some : layers.all()) {
    for (const PlacedLayer& one : *some) {
      EXPECT_EQ(may_fit(one, shape.layers, kRanks, kBatch, 3LL << 30), some == &layers.by_time);
      EXPECT_EQ(layers.inners.count(one.plan.tensor * one.plan.context), 1u);
    }
  }
}

TEST_P(Layers, WhatTheJobFixesIsAllThereIs) {
  job.strategy.tensor = 4;
  job.strategy.sequence_parallel = false;
  job.strategy.recompute = Recompute::kSelective;
  job.micro_batch = 2;
  const std::array batches = {kBatch, 31};
  const auto layers = placed_layers(job, shape, batches, place);
  ASSERT_FALSE(layers.by_time.empty());
  for (const PlacedLayer& one : layers.by_time) {
    EXPECT_EQ(one.plan.tensor, 4);
    EXPECT_FALSE(one.plan.sequence_parallel);
    EXPECT_EQ(one.plan.recompute, Recompute::kSelective);
    EXPECT_EQ(one.plan.micro_batch, 2);
  }
  job.micro_batch = 3;
  EXPECT_TRUE(placed_layers(job, shape, batches, place).by_time.empty());
}

INSTANTIATE_TEST_SUITE_P(Kernels, Layers,
                         ::testing::Values(AttentionKernel::kScores, AttentionKernel::kFlash));

}  // namespace
}  // namespace pluto
