#include "costmodel/pipeline_simulator.h"

#include <gmock/gmock.h>

#include <cmath>

#include "costmodel/predictor.h"
#include "tests/support/small_models.h"
#include "tests/support/table_costs.h"
#include "tests/support/toy_plan.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;
using testing::TableCosts;
using testing::test_cluster;

/// Chunks of equal work: a chain of linear layers, one second each forward, one for each of the two
/// backward nodes; all else is free.
ModelGraph chain(int layers) {
  return testing::perceptron(std::vector<std::int64_t>(static_cast<std::size_t>(layers) + 1, 8));
}

TableCosts one_second_products() {
  TableCosts costs;
  costs.op_seconds = [](const OpSignature& op) { return op.kind == OpKind::kLinear ? 1.0 : 0.0; };
  return costs;
}

Plan plan_of(const ModelGraph& model, int stages, int interleave, std::int64_t micro_batches,
             int data = 1) {
  Plan plan = testing::plan_for(model, data, 1, micro_batches);
  plan.layout.pipeline = stages;
  plan.pipeline.interleave = interleave;
  plan.cluster = test_cluster(stages * data, 1);
  return plan;
}

SimulatedStep step_of(const ModelGraph& model, const Plan& plan, const CostSource& costs) {
  auto pipeline = lower_pipeline(model, plan);
  EXPECT_TRUE(pipeline.ok()) << pipeline.error().message;
  auto step = simulate(*pipeline, plan, costs);
  EXPECT_TRUE(step.ok());
  return *step;
}

// (m + p - 1)(f + b) with f = layers per stage, b = 2 f, but for the first layer, which has no data
// gradient: it is the first stage's b that is one shorter.
TEST(PipelineSimulator, EqualStagesMatchTheClosedForm) {
  for (const int stages : {1, 2, 4}) {
    for (const int micro : {1, 2, 4, 8}) {
      const int layers = 8;
      const ModelGraph model = chain(layers);
      const auto step = step_of(model, plan_of(model, stages, 1, micro), one_second_products());
      const double f = layers / stages, b = 2.0 * f;
      const double closed = (micro + stages - 1) * (f + b);
      // the shorter first backward shortens at most each of its turns
      EXPECT_LE(step.makespan.value(), closed) << stages << " stages, " << micro;
      EXPECT_GE(step.makespan.value(), closed - micro) << stages << " stages, " << micro;
      EXPECT_NEAR((step.compute + step.bubble).value(), step.makespan.value(), 1e-9);
      EXPECT_NEAR(step.compute.value(), micro * (3.0 * layers - 1) / stages, 1e-9);
    }
  }
}

// m + (p - 1) / v turns of a stage.
TEST(PipelineSimulator, InterleavingShortensTheBubble) {
  const ModelGraph model = chain(8);
  const auto plain = step_of(model, plan_of(model, 2, 1, 4), one_second_products());
  const auto interleaved = step_of(model, plan_of(model, 2, 4, 4), one_second_products());
  EXPECT_EQ(plain.compute, interleaved.compute);
  EXPECT_NEAR(interleaved.bubble.value(), plain.bubble.value() / 4, 1.0);
  EXPECT_LT(interleaved.bubble, plain.bubble);
}

TEST(PipelineSimulator, MessagesDelayTheFillAndTheDrain) {
  const ModelGraph model = chain(4);
  TableCosts costs = one_second_products();
  const Plan plan = plan_of(model, 2, 1, 1);
  const auto quick = step_of(model, plan, costs);
  costs.collective_seconds = [](const CollectiveCall& call, const ClusterSpec&) {
    return call.kind == CollectiveKind::kSend ? 0.5 : 0.0;
  };
  const auto slow = step_of(model, plan, costs);
  EXPECT_NEAR(slow.makespan.value(), quick.makespan.value() + 2 * 0.5, 1e-9);
}

TEST(PipelineSimulator, MessagesBetweenNodesShareTheInterface) {
  const ModelGraph model = chain(4);
  Plan plan = plan_of(model, 2, 1, 2, 4);
  TableCosts costs;
  std::vector<CollectiveCall> sends;
  costs.collective_seconds = [&](const CollectiveCall& call, const ClusterSpec&) {
    if (call.kind == CollectiveKind::kSend) sends.push_back(call);
    return 0.0;
  };
  plan.cluster = test_cluster(2, 4);  // each stage fills a node
  step_of(model, plan, costs);
  ASSERT_FALSE(sends.empty());
  for (const auto& call : sends) {
    EXPECT_EQ(call.per_node, 1);
    EXPECT_EQ(call.groups, 4);
  }
  sends.clear();
  plan.cluster = test_cluster(1, 8);  // both in one
  step_of(model, plan, costs);
  for (const auto& call : sends) EXPECT_EQ(call.per_node, 2);
}

// Each stage's gradients are synchronised behind its own last backward pass.
TEST(PipelineSimulator, TheLastStageToEndSynchronisesExposed) {
  const ModelGraph model = chain(4);
  TableCosts costs = one_second_products();
  const auto without = step_of(model, plan_of(model, 2, 1, 4, 2), costs);
  costs.collective_seconds = [](const CollectiveCall& call, const ClusterSpec&) {
    return call.kind == CollectiveKind::kAllReduce ? 3.0 : 0.0;
  };
  const auto with = step_of(model, plan_of(model, 2, 1, 4, 2), costs);
  EXPECT_NEAR(with.makespan.value(), without.makespan.value() + 3, 1e-9);
  // The second stage still has a data gradient to compute for the first: one of its three seconds
  // is hidden. The term is the mean of both.
  EXPECT_NEAR(with.exposed_comm.value(), (3 + 2) / 2.0, 1e-9);
}

TEST(PipelineSimulator, OneStageIsThePlainSimulation) {
  const ModelGraph model = chain(4);
  TableCosts costs = one_second_products();
  costs.input_seconds = 0.01;
  costs.collective_seconds = [](const CollectiveCall&, const ClusterSpec&) { return 0.7; };
  const Plan plan = plan_of(model, 1, 1, 4, 2);
  const auto staged = step_of(model, plan, costs);
  const auto plain = simulate(*lower(model, plan), plan.cluster, plan.data, costs);
  ASSERT_TRUE(plain.ok());
  EXPECT_NEAR(staged.makespan.value(), plain->makespan.value(), 1e-9);
  EXPECT_NEAR(staged.compute.value(), plain->compute.value(), 1e-9);
  EXPECT_NEAR(staged.exposed_comm.value(), plain->exposed_comm.value(), 1e-9);
}

TEST(PipelineSimulator, PredictionsCarryTheBubbleAndTheFullestStage) {
  const ModelGraph model = chain(8);
  const Plan plan = plan_of(model, 4, 1, 4);
  const auto predicted = predict(model, plan, one_second_products());
  ASSERT_TRUE(predicted.ok()) << predicted.error().message;
  const auto& prediction = predicted->prediction;
  ASSERT_EQ(prediction.terms.back().name, "bubble");
  EXPECT_GT(prediction.terms.back().time.value(), 0);
  double sum = 0;
  for (const auto& term : prediction.terms) sum += term.time.value();
  EXPECT_NEAR(sum, prediction.step_time.p50.value(), 1e-9);
  EXPECT_THAT(prediction.assumptions.front(), HasSubstr("memory is that of stage 0 of 4"));
  EXPECT_EQ(predicted->step.timeline.entries.size(), 4U * 8U);
}

// A faster device, a quicker link: never slower.
TEST(PipelineSimulator, MoreIsNeverSlower) {
  const ModelGraph model = chain(8);
  const Plan plan = plan_of(model, 4, 1, 8, 2);
  double before = INFINITY;
  for (const double slowness : {4.0, 2.0, 1.0, 0.5}) {
    TableCosts costs;
    costs.op_seconds = [&](const OpSignature& op) {
      return op.kind == OpKind::kLinear ? slowness : 0.1 * slowness;
    };
    costs.collective_seconds = [&](const CollectiveCall& call, const ClusterSpec&) {
      return slowness * 1e-3 * static_cast<double>(call.bytes.value());
    };
    const double now = step_of(model, plan, costs).makespan.value();
    EXPECT_LT(now, before);
    before = now;
  }
}

}  // namespace
}  // namespace pluto
