#include "model/passes/recompute.h"

#include <gmock/gmock.h>

#include "model/passes/passes.h"
#include "model/passes/split_stages.h"
#include "tests/support/graph_checks.h"
#include "tests/support/random_model.h"
#include "tests/support/recompute_models.h"
#include "tests/support/toy_models.h"

namespace pluto {
namespace {

using pluto::testing::finished;
using pluto::testing::op_named;
using pluto::testing::op_names;
using pluto::testing::RandomModel;
using pluto::testing::tensor_names;
using pluto::testing::wiring_faults;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

/// x(8) -> linear, gelu, dropout three times ("a", "a.gelu", "a.drop", "b" ...) = logits -> loss.
ModelGraph chain() {
  GraphBuilder b;
  ModelGraph model;
  model.name = "chain";
  model.inputs = {b.input("x", {{8}})};
  model.labels = b.input("labels", {}, DType::kI32);
  TensorId x = model.inputs[0];
  for (const std::string& name : {std::string("a"), std::string("b"), std::string("c")}) {
    const TensorId w = b.parameter(name + ".w", {{8, 8}}, {Init::Kind::kNormal, 0.5});
    x = b.forward(name, OpKind::kLinear, LinearAttrs{8, false}, {x, w});
    x = b.forward(name + ".gelu", OpKind::kGelu, NoAttrs{}, {x});
    x = b.forward(name + ".drop", OpKind::kDropout, DropoutAttrs{0.2, name[0]}, {x});
  }
  model.logits = x;
  model.loss = b.forward("loss", OpKind::kSoftmaxCrossEntropy, NoAttrs{}, {x, model.labels});
  return finished(std::move(b), std::move(model));
}

TrainingGraph derived(const ModelGraph& model) {
  auto training = differentiate(model, SgdAttrs{});
  EXPECT_TRUE(training.ok()) << training.error().message;
  return training.ok() ? std::move(*training) : TrainingGraph{};
}

TrainingGraph repeated(const ModelGraph& model, Recompute how) {
  auto training = recompute(derived(model), how);
  EXPECT_TRUE(training.ok()) << training.error().message;
  return training.ok() ? std::move(*training) : TrainingGraph{};
}

TEST(RecomputeTest, NoneChangesNothing) {
  const TrainingGraph training = derived(chain());
  const auto result = recompute(training, Recompute::kNone);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->graph.fingerprint(), training.graph.fingerprint());
}

TEST(RecomputeTest, CopiesStandBeforeTheirFirstReader) {
  const TrainingGraph training = repeated(chain(), Recompute::kSelective);
  EXPECT_THAT(wiring_faults(training), IsEmpty());
  EXPECT_THAT(
      op_names(training.graph),
      ElementsAre("a", "a.gelu", "a.drop", "b", "b.gelu", "b.drop", "c", "c.gelu", "c.drop", "loss",
                  "loss.backward", "c.drop.backward", "c.gelu.backward", "b.gelu.recompute",
                  "b.drop.recompute", "c.backward_weight", "c.backward_data", "b.drop.backward",
                  "b.gelu.backward", "a.gelu.recompute", "a.drop.recompute", "b.backward_weight",
                  "b.backward_data", "a.drop.backward", "a.gelu.backward", "a.backward_weight",
                  "c.w.update", "b.w.update", "a.w.update"));
  const Graph& graph = training.graph;
  EXPECT_THAT(tensor_names(graph, op_named(graph, "b.gelu.recompute").inputs), ElementsAre("b"));
  EXPECT_THAT(tensor_names(graph, op_named(graph, "b.drop.recompute").inputs),
              ElementsAre("b.gelu.recompute"));
  EXPECT_THAT(tensor_names(graph, op_named(graph, "c.backward_weight").inputs),
              ElementsAre("c.gelu.backward", "b.drop.recompute"));
  EXPECT_THAT(tensor_names(graph, op_named(graph, "b.gelu.backward").inputs),
              ElementsAre("b.drop.backward", "b"));
}

TEST(RecomputeTest, CopiesDrawTheSameMask) {
  const TrainingGraph training = repeated(chain(), Recompute::kSelective);
  const Op& copy = op_named(training.graph, "b.drop.recompute");
  EXPECT_EQ(copy.attrs, op_named(training.graph, "b.drop").attrs);
  EXPECT_EQ(copy.pass, OpPass::kForward);
  EXPECT_EQ(training.phase[copy.id.index()], OpPhase::kBackward);
  EXPECT_EQ(training.graph.op(training.origin[copy.id.index()]).name, "b.drop");
}

TEST(RecomputeTest, ForwardStaysAsItWas) {
  const TrainingGraph before = derived(chain());
  const TrainingGraph after = repeated(chain(), Recompute::kFull);
  std::size_t forward = 0;
  for (const Op& op : after.graph.ops()) {
    if (after.phase[op.id.index()] != OpPhase::kForward) continue;
    const Op& old = before.graph.op(OpId(forward++));
    EXPECT_EQ(op.name, old.name);
    EXPECT_EQ(tensor_names(after.graph, op.inputs), tensor_names(before.graph, old.inputs));
  }
  EXPECT_EQ(forward, 10U);
  EXPECT_EQ(after.graph.tensor(after.loss).name, "loss");
  EXPECT_EQ(after.graph.tensor(after.logits).name, "c.drop");
}

TEST(RecomputeTest, CopiesOfBatchNormsRewriteNothing) {
  const ModelGraph model = pluto::testing::residual_block();
  const TrainingGraph training = repeated(model, Recompute::kSelective);
  const Op& norm = op_named(training.graph, "norm");
  const Op& copy = op_named(training.graph, "norm.recompute");
  EXPECT_EQ(copy.name, "norm.recompute");
  EXPECT_EQ(norm.updates.size(), 2U);
  EXPECT_THAT(copy.updates, IsEmpty());
  EXPECT_EQ(copy.outputs.size(), norm.outputs.size());
  // Its statistics are made again with it.
  EXPECT_THAT(
      tensor_names(training.graph, op_named(training.graph, "norm.backward").inputs),
      ElementsAre("act.backward", "conv", "norm.gamma", "norm.recompute:1", "norm.recompute:2"));
}

TEST(RecomputeTest, RefusesASecondTime) {
  const auto twice = recompute(repeated(chain(), Recompute::kSelective), Recompute::kFull);
  ASSERT_FALSE(twice.ok());
  EXPECT_EQ(twice.error().message, "node b.gelu.recompute is a copy already");
}

TEST(RecomputeTest, CommutesWithAccumulation) {
  for (const auto how : {Recompute::kSelective, Recompute::kFull}) {
    const TrainingGraph training = derived(chain());
    const auto before = accumulate_gradients(*recompute(training, how), 2);
    const auto after = recompute(*accumulate_gradients(training, 2), how);
    ASSERT_TRUE(before.ok() && after.ok());
    EXPECT_EQ(op_names(before->graph), op_names(after->graph));
  }
}

TEST(RecomputeTest, WhatAStageReceivedIsKept) {
  const ModelGraph model = pluto::testing::small_gpt(4, false);
  const auto cuts = even_cuts(model.graph, 2);
  ASSERT_TRUE(cuts.ok()) << cuts.error().message;
  const auto chunks = chunks_of(model.graph, *cuts);
  const auto untied = untie_stages(model, *chunks, 2);
  ASSERT_TRUE(untied.ok()) << untied.error().message;
  const auto stages =
      split_stages(derived(untied->model), untied->model.graph, *chunks, 2, untied->copies);
  ASSERT_TRUE(stages.ok()) << stages.error().message;
  for (const StageGraph& stage : *stages) {
    const auto result = recompute(stage.training, Recompute::kFull);
    ASSERT_TRUE(result.ok()) << result.error().message;
    const auto names = op_names(result->graph);
    EXPECT_GT(names.size(), stage.training.graph.ops().size() + 8);
    for (const std::string& name : names)
      EXPECT_FALSE(name.ends_with(".receive.recompute")) << name;
  }
}

TEST(RecomputeTest, RandomModelsKeepTheirWiring) {
  int copies = 0;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    for (const bool fused : {false, true}) {
      ModelGraph model = RandomModel::make(seed);
      if (fused) model = *fuse(model);
      const TrainingGraph training = derived(model);
      for (const auto how : {Recompute::kSelective, Recompute::kFull}) {
        const auto result = recompute(training, how);
        ASSERT_TRUE(result.ok()) << seed << ": " << result.error().message;
        EXPECT_THAT(wiring_faults(*result), IsEmpty()) << seed;
        EXPECT_EQ(result->trained.size(), training.trained.size());
        copies += static_cast<int>(result->graph.ops().size() - training.graph.ops().size());
      }
    }
  }
  EXPECT_GT(copies, 400);
}

}  // namespace
}  // namespace pluto
