#include "planner/cut_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "costmodel/pipeline_simulator.h"
#include "costmodel/sources.h"
#include "model/passes/split_stages.h"
#include "model/zoo.h"
#include "plan/pipeline.h"
#include "tests/support/small_models.h"
#include "tests/support/table_costs.h"
#include "tests/support/toy_plan.h"

namespace pluto {
namespace {

using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::TableCosts;
using testing::test_cluster;

const CostSource& roofline() {
  static const std::unique_ptr<CostSource> kSource = [] {
    const std::string data = std::string(PLUTO_SOURCE_DIR) + "/data";
    auto source = make_roofline_source(data + "/efficiency.json", {data + "/op_surfaces.json"});
    return source.ok() ? std::move(*source) : nullptr;
  }();
  return *kSource;
}

Plan plan_of(const ModelGraph& model, int stages, int interleave, std::int64_t micro_batch,
             std::int64_t micro_batches) {
  Plan plan = testing::plan_for(model, 1, micro_batch, micro_batches);
  plan.layout.pipeline = stages;
  plan.pipeline.interleave = interleave;
  plan.cluster = test_cluster(stages, 1, 1e-5, 1e10);
  return plan;
}

double step_of(const ModelGraph& model, const Plan& plan, const CostSource& costs) {
  const auto pipeline = lower_pipeline(model, plan);
  EXPECT_TRUE(pipeline.ok()) << (pipeline.ok() ? "" : pipeline.error().message);
  const auto step = simulate(*pipeline, plan, costs);
  EXPECT_TRUE(step.ok());
  return step->step().value();
}

struct ZooCase {
  std::string name;
  int stages, interleave;
};

TEST(ChooseCuts, AreNeverSlowerThanEvenCutsAndOftenFaster) {
  int faster = 0;
  double gained = 1;
  const std::vector<ZooCase> cases{{"alexnet", 2, 1},  {"alexnet", 4, 1},  {"vgg16", 2, 1},
                                   {"vgg16", 4, 1},    {"vgg16", 8, 1},    {"googlenet", 4, 1},
                                   {"resnet18", 4, 1}, {"resnet50", 4, 1}, {"bert-base", 4, 1},
                                   {"gpt2", 4, 1},     {"gpt2", 2, 2},     {"lstm-lm", 2, 1}};
  for (const ZooCase& one : cases) {
    SCOPED_TRACE(one.name + " on " + std::to_string(one.stages));
    const auto model = build_model(one.name);
    ASSERT_TRUE(model.ok());
    Plan plan = plan_of(*model, one.stages, one.interleave, 4, 8);
    const double even = step_of(*model, plan, roofline());
    const auto cuts = choose_cuts(*model, plan, roofline());
    ASSERT_TRUE(cuts.ok()) << cuts.error().message;
    EXPECT_EQ(cuts->cuts.size(), static_cast<std::size_t>(one.stages * one.interleave - 1));
    plan.pipeline = *cuts;
    const double chosen = step_of(*model, plan, roofline());
    EXPECT_LE(chosen, even);
    if (chosen < even * 0.999) ++faster;
    gained = std::min(gained, chosen / even);
    RecordProperty(one.name + std::to_string(one.stages), std::to_string(chosen / even));
  }
  EXPECT_GE(faster, 6);
  EXPECT_LT(gained, 0.9);
}

// Four layers of the same work, of which the first takes ten times as long.
TEST(ChooseCuts, GoByTimeAndNotByWork) {
  const ModelGraph model = testing::perceptron({64, 65, 66, 67, 68});
  TableCosts costs;
  costs.op_seconds = [](const OpSignature& op) {
    const auto* linear = std::get_if<LinearAttrs>(&op.attrs);
    if (linear == nullptr) return 0.0;
    return linear->out_features == 65 ? 10.0 : 1.0;
  };
  Plan plan = plan_of(model, 2, 1, 1, 8);
  const double even = step_of(model, plan, costs);
  const auto cuts = choose_cuts(model, plan, costs);
  ASSERT_TRUE(cuts.ok());
  plan.pipeline = *cuts;
  EXPECT_THAT(cuts->cuts, ElementsAre(AnyOf("relu0", "fc1")));
  EXPECT_LT(step_of(model, plan, costs), even);
}

// 1F1B keeps more micro-batches on the first stage, so memory moves the cut forward.
TEST(ChooseCuts, FitInMemoryBeforeTheyAreFast) {
  const ModelGraph model = testing::perceptron(std::vector<std::int64_t>(13, 32));
  TableCosts costs;
  costs.op_seconds = [](const OpSignature& op) { return op.kind == OpKind::kLinear ? 1.0 : 0.0; };
  Plan plan = plan_of(model, 2, 1, 4096, 8);
  const auto fullest = [&] {
    const auto pipeline = lower_pipeline(model, plan);
    EXPECT_TRUE(pipeline.ok());
    Bytes most;
    for (const PipelineStage& stage : pipeline->stages) {
      most = std::max(most, stage_memory(stage, {}).total());
    }
    return most;
  };
  plan.pipeline = *choose_cuts(model, plan, costs);
  const double fast = step_of(model, plan, costs);
  const Bytes needed = fullest();
  plan.cluster.instance.node.device.memory = needed - Bytes(1);
  plan.pipeline = *choose_cuts(model, plan, costs);
  EXPECT_LE(fullest(), plan.cluster.instance.node.device.memory);
  EXPECT_GE(step_of(model, plan, costs), fast);
  // Where nothing fits, the fastest is kept.
  plan.cluster.instance.node.device.memory = Bytes(1);
  plan.pipeline = *choose_cuts(model, plan, costs);
  EXPECT_DOUBLE_EQ(step_of(model, plan, costs), fast);
}

TEST(ChooseCuts, LeaveOneStageUncut) {
  const ModelGraph model = testing::perceptron({8, 8, 8});
  const auto cuts = choose_cuts(model, plan_of(model, 1, 1, 1, 2), TableCosts());
  ASSERT_TRUE(cuts.ok());
  EXPECT_THAT(cuts->cuts, IsEmpty());
}

TEST(ChooseCuts, KeepEvenCutsWhereNothingCostsAnything) {
  const ModelGraph model = testing::perceptron({8, 8, 8, 8});
  Plan plan = plan_of(model, 2, 1, 1, 2);
  plan.pipeline.cuts = {"gone"};
  const auto cuts = choose_cuts(model, plan, TableCosts());
  ASSERT_TRUE(cuts.ok());
  const auto forward = transformed(model, plan);
  ASSERT_TRUE(forward.ok());
  const auto even = even_cuts(forward->graph, 2);
  ASSERT_TRUE(even.ok());
  EXPECT_EQ(cuts->cuts, *even);
}

TEST(ChooseCuts, SayWhatCannotBeCut) {
  const ModelGraph model = testing::perceptron({8, 8});
  const auto cuts = choose_cuts(model, plan_of(model, 64, 1, 1, 64), TableCosts());
  ASSERT_FALSE(cuts.ok());
  EXPECT_THAT(cuts.error().message, HasSubstr("pipeline"));
}

}  // namespace
}  // namespace pluto
