#include "plan/pipeline.h"

#include <gmock/gmock.h>

#include <map>
#include <set>

#include "model/zoo.h"
#include "plan/lifetimes.h"
#include "tests/support/small_models.h"
#include "tests/support/toy_models.h"
#include "tests/support/toy_plan.h"

namespace pluto {
namespace {

using pluto::testing::plan_for;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// "F0 F1 B0 ..." with the chunk behind a slash when there are several.
std::string written(const std::vector<StagePass>& order, bool chunks = false) {
  std::string text;
  for (const StagePass& pass : order) {
    if (!text.empty()) text += ' ';
    text += (pass.forward ? "F" : "B") + std::to_string(pass.micro_batch);
    if (chunks) text += "/" + std::to_string(pass.chunk);
  }
  return text;
}

TEST(PipelineOrderTest, OneForwardOneBackward) {
  EXPECT_EQ(written(pipeline_order(0, 4, 1, 5)), "F0 F1 F2 F3 B0 F4 B1 B2 B3 B4");
  EXPECT_EQ(written(pipeline_order(2, 4, 1, 5)), "F0 F1 B0 F2 B1 F3 B2 F4 B3 B4");
  EXPECT_EQ(written(pipeline_order(3, 4, 1, 5)), "F0 B0 F1 B1 F2 B2 F3 B3 F4 B4");
  EXPECT_EQ(written(pipeline_order(0, 4, 1, 2)), "F0 F1 B0 B1");
}

// Megatron-LM's schedule for two stages of two chunks: groups of two micro-batches.
TEST(PipelineOrderTest, Interleaved) {
  EXPECT_EQ(written(pipeline_order(0, 2, 2, 4), true),
            "F0/0 F1/0 F0/2 F1/2 F2/0 B0/2 F3/0 B1/2 F2/2 B0/0 F3/2 B1/0 B2/2 B3/2 B2/0 B3/0");
  EXPECT_EQ(written(pipeline_order(1, 2, 2, 4), true),
            "F0/1 F1/1 F0/3 B0/3 F1/3 B1/3 F2/1 B0/1 F3/1 B1/1 F2/3 B2/3 F3/3 B3/3 B2/1 B3/1");
}

// Every pass once; a stage runs backward of a micro-batch after its forward; no order waits for
// ever.
TEST(PipelineOrderTest, EveryOrderRuns) {
  for (int stages = 1; stages <= 5; ++stages) {
    for (int interleave = 1; interleave <= 3; ++interleave) {
      for (int micro = 1; micro <= 12; ++micro) {
        if (interleave > 1 && (stages == 1 || micro % stages != 0)) continue;
        const int chunks = stages * interleave;
        std::vector<std::vector<StagePass>> order;
        for (int s = 0; s < stages; ++s) {
          order.push_back(pipeline_order(s, stages, interleave, micro));
          ASSERT_EQ(order.back().size(), static_cast<std::size_t>(2 * interleave * micro));
        }
        std::set<std::tuple<bool, int, int>> done;
        std::vector<std::size_t> at(order.size(), 0);
        for (bool moved = true; moved;) {
          moved = false;
          for (std::size_t s = 0; s < order.size(); ++s) {
            for (; at[s] < order[s].size(); ++at[s]) {
              const StagePass& pass = order[s][at[s]];
              ASSERT_EQ(pass.chunk % stages, static_cast<int>(s));
              const bool first = pass.forward && pass.chunk == 0;
              const bool turn = !pass.forward && pass.chunk == chunks - 1;
              const int before = pass.forward ? pass.chunk - 1 : pass.chunk + 1;
              const bool ready =
                  first || (turn ? done.contains({true, pass.chunk, pass.micro_batch})
                                 : done.contains({pass.forward, before, pass.micro_batch}));
              if (!ready) break;
              if (!pass.forward) {
                ASSERT_TRUE(done.contains({true, pass.chunk, pass.micro_batch}));
              }
              ASSERT_TRUE(done.insert({pass.forward, pass.chunk, pass.micro_batch}).second);
              moved = true;
            }
          }
        }
        ASSERT_EQ(done.size(), static_cast<std::size_t>(2 * chunks * micro))
            << stages << " stages, " << interleave << " chunks, " << micro << " micro-batches";
      }
    }
  }
}

Plan pipelined(const ModelGraph& model, int stages, int data, std::int64_t accumulation) {
  Plan plan = plan_for(model, data, 2, accumulation);
  plan.layout.pipeline = stages;
  plan.cluster.nodes = stages * data;
  return plan;
}

TEST(PipelineTest, StagesHoldEveryParameterOnceAndTheirOwnBuckets) {
  const ModelGraph model = pluto::testing::perceptron({8, 8, 8, 8, 4});
  Plan plan = pipelined(model, 2, 2, 4);
  const auto pipeline = lower_pipeline(model, plan);
  ASSERT_TRUE(pipeline.ok()) << pipeline.error().message;
  ASSERT_EQ(pipeline->stages.size(), 2U);
  std::int64_t parameters = 0;
  for (const PipelineStage& stage : pipeline->stages) {
    const Graph& graph = stage.lowered.training.graph;
    parameters += parameter_count(graph);
    int reductions = 0;
    for (const Op& op : graph.ops()) reductions += op.kind == OpKind::kAllReduce ? 1 : 0;
    EXPECT_EQ(reductions, 1);
    EXPECT_EQ(stage.chunk.size(), graph.ops().size());
    EXPECT_EQ(stage.lowered.program.accumulation, 4);
    EXPECT_EQ(stage.order.size(), 8U);
  }
  EXPECT_EQ(parameters, parameter_count(model.graph));
  // one activation and its gradient cross the cut
  std::map<OpKind, int> messages;
  for (const PipelineStage& stage : pipeline->stages) {
    for (const Op& op : stage.lowered.training.graph.ops()) ++messages[op.kind];
  }
  EXPECT_EQ(messages[OpKind::kSend], 2);
  EXPECT_EQ(messages[OpKind::kReceive], 2);
}

TEST(PipelineTest, ATiedEmbeddingIsReducedBetweenItsStages) {
  ZooOptions options;
  options.layers = 4;
  options.width_model = 32;
  options.heads = 2;
  options.sequence = 8;
  options.vocabulary = 50;
  const ModelGraph model = build_model("gpt2", options).value();
  const auto pipeline = lower_pipeline(model, pipelined(model, 4, 1, 4));
  ASSERT_TRUE(pipeline.ok()) << pipeline.error().message;
  std::vector<std::int64_t> peers;
  for (const PipelineStage& stage : pipeline->stages) {
    for (const Op& op : stage.lowered.training.graph.ops()) {
      if (op.kind == OpKind::kStageReduce) {
        peers.push_back(std::get<StageAttrs>(op.attrs).peer);
      }
    }
  }
  EXPECT_THAT(peers, ElementsAre(3, 0));
}

TEST(PipelineTest, CutsOfTransformersAreBetweenLayers) {
  const ModelGraph model = build_model("gpt2-medium").value();
  Plan plan = pipelined(model, 4, 1, 8);
  plan.fuse = false;
  const auto pipeline = lower_pipeline(model, plan);
  ASSERT_TRUE(pipeline.ok()) << pipeline.error().message;
  for (const PipelineStage& stage : pipeline->stages) {
    int forward_messages = 0;
    for (const Op& op : stage.lowered.training.graph.ops()) {
      if (op.kind == OpKind::kSend) ++forward_messages;
    }
    EXPECT_LE(forward_messages, 2);  // the residual stream one way, its gradient the other
  }
}

TEST(PipelineTest, EarlyStagesKeepMoreMicroBatches) {
  const ModelGraph model = pluto::testing::perceptron({64, 64, 64, 64, 64, 64, 64, 64, 4});
  const auto pipeline = lower_pipeline(model, pipelined(model, 4, 1, 8)).value();
  std::vector<std::int64_t> kept;
  for (const PipelineStage& stage : pipeline.stages) {
    const auto once = plan_memory(stage.lowered.training, stage.lowered.program, {}).breakdown;
    kept.push_back(stage_memory(stage, {}).activations.value() - once.activations.value());
  }
  EXPECT_EQ(kept[3], 0);  // one micro-batch in flight
  EXPECT_GT(kept[2], 0);
  EXPECT_EQ(kept[1], 2 * kept[2]);
  EXPECT_GT(kept[0], 0);
  EXPECT_EQ(kept[0] % 3, 0);
}

TEST(PipelineTest, SizeDoesNotDependOnRanksOrMicroBatches) {
  const ModelGraph model = pluto::testing::perceptron({8, 8, 8, 8, 4});
  const auto small = lower_pipeline(model, pipelined(model, 2, 2, 2)).value();
  Plan plan = pipelined(model, 2, 512, 64);
  const auto large = lower_pipeline(model, plan).value();
  for (std::size_t s = 0; s < 2; ++s) {
    EXPECT_EQ(small.stages[s].lowered.program.tasks.size(),
              large.stages[s].lowered.program.tasks.size());
  }
}

TEST(PipelineTest, WrongCutsAreNamed) {
  const ModelGraph model = pluto::testing::two_layers();
  Plan plan = pipelined(model, 2, 1, 2);
  plan.pipeline.cuts = {"fc3"};
  const auto unknown = lower_pipeline(model, plan);
  ASSERT_FALSE(unknown.ok());
  EXPECT_THAT(unknown.error().message, HasSubstr("pipeline: cuts[0]: the model has no node 'fc3'"));
  plan.pipeline.cuts = {"fc1"};
  EXPECT_THAT(lower_pipeline(model, plan).error().message, HasSubstr("leaves no node"));
}

TEST(PipelineTest, ServersAreOfOneStageAndRefused) {
  const ModelGraph model = pluto::testing::perceptron({8, 8, 8, 8, 4});
  Plan plan = pipelined(model, 2, 2, 2);
  plan.buckets.front().method = SyncMethod::kParameterServer;
  plan.servers = {0, 1};
  const auto refused = lower_pipeline(model, plan);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(refused.error().message, HasSubstr("buckets[0].method is parameter_server"));
}

TEST(PipelineTest, OneProgramIsOneStages) {
  const ModelGraph model = pluto::testing::two_layers();
  const auto refused = lower(model, pipelined(model, 2, 1, 2));
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message, HasSubstr("layout.pipeline is 2"));
}

}  // namespace
}  // namespace pluto
