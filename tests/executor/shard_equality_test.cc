// A model split over ranks trains the same parameters as the whole one: lowered plans on planned
// memory, all ranks in lock step, on the reference backend.

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/block_models.h"
#include "tests/support/sharded_run.h"
#include "tests/support/toy_plan.h"

namespace pluto {
namespace {

using pluto::testing::NetworkPace;
using pluto::testing::ShardedRun;

/// Everything that is left to synchronise in one bucket.
void fill_buckets(Plan& plan, const ModelGraph& model) {
  plan.buckets.clear();
  plan.cluster.nodes = plan.layout.ranks();
  if (plan.layout.data * plan.layout.context == 1) return;
  const auto order = gradient_order(model, plan).value();
  BucketPlan bucket;
  for (const GradientInfo& info : order) bucket.parameters.push_back(info.name);
  if (!bucket.parameters.empty()) plan.buckets = {std::move(bucket)};
}

Plan plan_of(const ModelGraph& model, const Layout& layout, std::int64_t micro_batch,
             std::int64_t accumulation, const std::vector<std::string>& sharded = {},
             bool sequence_parallel = false) {
  Plan plan = pluto::testing::plan_for(model, 1, micro_batch, accumulation);
  plan.fuse = true;
  plan.layout = layout;
  plan.sharded = sharded;
  plan.sequence_parallel = sequence_parallel;
  plan.global_batch = layout.data * micro_batch * accumulation;
  plan.optimizer = SgdAttrs{0.9, 0.01, false};
  fill_buckets(plan, model);
  return plan;
}

TEST(ShardedLayers, TrainAsCopiedLayers) {
  const ModelGraph model = pluto::testing::tiny_convnet();
  const std::vector<std::vector<std::string>> choices = {
      {"fc6"}, {"fc6", "fc7"}, {"fc6", "fc7", "fc8"}, {"fc6", "fc8"}};
  for (const auto& sharded : choices) {
    for (const int ranks : {2, 4}) {
      SCOPED_TRACE(std::to_string(sharded.size()) + " layers on " + std::to_string(ranks));
      const Plan plan = plan_of(model, {.data = ranks}, 2, 1, sharded);
      ShardedRun(model, plan).expect_equal();
    }
  }
}

TEST(ShardedLayers, TrainWithAccumulation) {
  const ModelGraph model = pluto::testing::tiny_convnet();
  const Plan plan = plan_of(model, {.data = 2}, 2, 3, {"fc6", "fc7"});
  for (const NetworkPace pace : {NetworkPace::kEager, NetworkPace::kLazy}) {
    ShardedRun(model, plan).expect_equal(pace);
  }
}

TEST(ShardedLayers, MayBeAllThereIs) {
  ZooOptions options;
  options.width_model = 8;
  const ModelGraph model = pluto::testing::checked(build_model("mlp", options));
  const Plan plan = plan_of(model, {.data = 2}, 2, 1, {"fc1", "fc2", "fc3"});
  EXPECT_TRUE(plan.buckets.empty());
  ShardedRun(model, plan).expect_equal();
}

class TensorParallel : public ::testing::TestWithParam<bool> {
 protected:
  void expect_equal(const ModelGraph& model, const std::vector<int>& degrees) {
    for (const int tensor : degrees) {
      SCOPED_TRACE(std::to_string(tensor) + " tensor ranks");
      const Plan plan = plan_of(model, {.tensor = tensor}, 2, 1, {}, GetParam());
      ShardedRun(model, plan).expect_equal();
    }
  }
};

TEST_P(TensorParallel, TrainsGpt) { expect_equal(pluto::testing::tiny_gpt(), {2, 4}); }

TEST_P(TensorParallel, TrainsBert) { expect_equal(pluto::testing::tiny_bert(), {2, 4}); }

TEST_P(TensorParallel, TrainsGroupedHeadsAndGatedLayers) {
  expect_equal(pluto::testing::checked(build_decoder(pluto::testing::tiny_decoder_config())), {2});
}

TEST_P(TensorParallel, TrainsBiasesAndNormsOfHeads) {
  DecoderConfig config = pluto::testing::tiny_decoder_config();
  config.qkv_bias = config.output_bias = config.mlp_bias = config.head_norms = true;
  config.kv_heads = 4;
  config.tied = true;
  expect_equal(pluto::testing::checked(build_decoder(config)), {2, 4});
}

TEST_P(TensorParallel, TrainsExperts) {
  DecoderConfig config = pluto::testing::tiny_decoder_config();
  config.experts = 4;
  config.experts_per_token = 2;
  expect_equal(pluto::testing::checked(build_decoder(config)), {2});
}

TEST_P(TensorParallel, GoesTogetherWithDataRanksAndAccumulation) {
  const ModelGraph model = pluto::testing::tiny_gpt(1);
  const Plan plan = plan_of(model, {.data = 2, .tensor = 2}, 2, 2, {}, GetParam());
  for (const NetworkPace pace : {NetworkPace::kEager, NetworkPace::kLazy}) {
    ShardedRun(model, plan).expect_equal(pace);
  }
}

INSTANTIATE_TEST_SUITE_P(Sequence, TensorParallel, ::testing::Bool(), [](const auto& info) {
  return std::string(info.param ? "Split" : "Whole");
});

TEST(ContextParallel, TrainsTheSequenceInParts) {
  const ModelGraph gpt = pluto::testing::tiny_gpt(), bert = pluto::testing::tiny_bert();
  const ModelGraph decoder =
      pluto::testing::checked(build_decoder(pluto::testing::tiny_decoder_config()));
  for (const ModelGraph* model : {&gpt, &bert, &decoder}) {
    for (const int context : {2, 4}) {
      SCOPED_TRACE(model->name + " in " + std::to_string(context));
      const Plan plan = plan_of(*model, {.context = context}, 2, 1);
      ShardedRun(*model, plan).expect_equal();
    }
  }
}

TEST(ContextParallel, GoesTogetherWithTensorAndDataRanks) {
  DecoderConfig config = pluto::testing::tiny_decoder_config();
  config.layers = 1;
  config.head_norms = true;
  const ModelGraph model = pluto::testing::checked(build_decoder(config));
  for (const bool sequence_parallel : {false, true}) {
    const Plan plan =
        plan_of(model, {.data = 2, .tensor = 2, .context = 2}, 2, 2, {}, sequence_parallel);
    ShardedRun(model, plan).expect_equal();
  }
}

TEST(ExpertParallel, TrainsExpertsOnTheirRanks) {
  DecoderConfig config = pluto::testing::tiny_decoder_config();
  config.layers = 1;
  config.experts = 4;
  config.experts_per_token = 2;
  const ModelGraph model = pluto::testing::checked(build_decoder(config));
  for (const int ranks : {2, 4}) {
    Plan plan = plan_of(model, {.data = ranks}, 2, 2);
    plan.expert = ranks;
    fill_buckets(plan, model);
    ShardedRun(model, plan).expect_equal();
  }
}

// Every id is looked up and is a label somewhere: each rank has some of both.
TEST_P(TensorParallel, SplitsTheVocabulary) {
  DecoderConfig untied = pluto::testing::tiny_decoder_config();
  untied.kv_heads = 4;
  untied.vocabulary = 8;
  ASSERT_FALSE(untied.tied);
  const ModelGraph models[] = {pluto::testing::tiny_gpt(2, 4, 8), pluto::testing::tiny_bert(8),
                               pluto::testing::checked(build_decoder(untied))};
  for (const ModelGraph& model : models) {
    for (const int tensor : {2, 4}) {
      SCOPED_TRACE(model.name + " on " + std::to_string(tensor));
      const Plan plan = plan_of(model, {.tensor = tensor}, 2, 1, {}, GetParam());
      const auto lowered = lower(model, plan);
      ASSERT_TRUE(lowered.ok()) << lowered.error().message;
      EXPECT_TRUE(std::ranges::any_of(lowered->training.graph.ops(), [](const Op& op) {
        return op.kind == OpKind::kSplitCrossEntropy;
      }));
      ShardedRun(model, plan, 8).expect_equal();
    }
  }
  const ModelGraph model = pluto::testing::tiny_gpt(1, 4, 8);
  ShardedRun(model, plan_of(model, {.data = 2, .tensor = 2, .context = 2}, 2, 2, {}, GetParam()), 8)
      .expect_equal();
}

// ZeRO of what each tensor and context rank holds, and 16 bits and chunks on its way.
TEST(ParallelRanks, SynchroniseAsWholeModelsDo) {
  const ModelGraph model = pluto::testing::tiny_gpt(1, 4, 8);
  const Layout layouts[] = {{.data = 2, .tensor = 2},
                            {.data = 3, .tensor = 2},
                            {.data = 2, .context = 2},
                            {.data = 2, .tensor = 2, .context = 2}};
  for (const Layout& layout : layouts) {
    for (const std::int64_t accumulation : {1, 2}) {
      for (const int stage : {0, 1, 2, 3}) {
        Plan plan = plan_of(model, layout, 2, accumulation);
        plan.shard = stage;
        for (BucketPlan& bucket : plan.buckets) {
          if (stage > 0) bucket.method = SyncMethod::kShard;
          bucket.chunks = 1 + static_cast<int>(accumulation);
        }
        SCOPED_TRACE("data " + std::to_string(layout.data) + " tensor " +
                     std::to_string(layout.tensor) + " context " + std::to_string(layout.context) +
                     " shard " + std::to_string(stage));
        ShardedRun(model, plan, 8).expect_equal();
        if (stage > 0) continue;
        for (BucketPlan& bucket : plan.buckets) bucket.wire = DType::kBF16;
        ShardedRun(model, plan, 8).expect_equal(NetworkPace::kLazy, 1.6e-2);
      }
    }
  }
}

// Positions decide nothing in a layer without sequence.
TEST(TensorParallelLayers, NeedNoTransformer) {
  const ModelGraph model = pluto::testing::tiny_convnet();
  const Plan plan = plan_of(model, {.tensor = 2}, 2, 1);
  ShardedRun(model, plan).expect_equal();
}

}  // namespace
}  // namespace pluto
