#include "costmodel/predictor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "costmodel/uncertainty.h"
#include "tests/support/small_models.h"
#include "tests/support/table_costs.h"

namespace pluto {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::perceptron;
using testing::TableCosts;
using testing::test_cluster;

class Predictor : public ::testing::Test {
 protected:
  Predictor() {
    plan.model.source = model.name;
    plan.model_fingerprint = model.graph.fingerprint();
    plan.cluster = test_cluster(2, 1);
    plan.dataset_samples = 1000;
    plan.data.samples = 1000;
    plan.layout.data = 2;
    plan.micro_batch = 4;
    plan.global_batch = 8;
    plan.steps = 1800;
    plan.buckets = {{SyncMethod::kAllReduce, {"fc1.w", "fc1.b", "fc0.w", "fc0.b"}}};
    costs.op_seconds = [](const OpSignature& op) { return op.kind == OpKind::kLinear ? 0.1 : 0.0; };
    costs.collective_seconds = [](const CollectiveCall&, const ClusterSpec&) { return 0.5; };
    costs.workspace = Bytes(12352);
    costs.overhead = Bytes(777);
    costs.last_id = 42;
  }
  Prediction predicted() {
    auto result = predict(model, plan, costs);
    EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message);
    return result->prediction;
  }
  ModelGraph model = perceptron({8, 8, 4});
  Plan plan;
  TableCosts costs;
};

TEST_F(Predictor, TimeIsStepsTimesTheSumOfTheTerms) {
  const auto prediction = predicted();
  ASSERT_EQ(prediction.terms.size(), 4u);
  EXPECT_EQ(prediction.terms[0].name, "compute");
  EXPECT_EQ(prediction.terms[1].name, "exposed_comm");
  EXPECT_EQ(prediction.terms[2].name, "exposed_input");
  EXPECT_EQ(prediction.terms[3].name, "update");
  // Two forward products, two weight gradients, one data gradient, then the bucket.
  EXPECT_NEAR(prediction.terms[0].time.value(), 0.5, 1e-12);
  EXPECT_NEAR(prediction.terms[1].time.value(), 0.5, 1e-12);
  Seconds sum;
  for (const auto& term : prediction.terms) sum += term.time;
  EXPECT_EQ(sum, prediction.step_time.p50);
  EXPECT_NEAR(prediction.time_to_target.p50.value(), 1800, 1e-9);
  EXPECT_EQ(prediction.steps, 1800);
}

TEST_F(Predictor, PriceIsThatOfWholeNodesForTheTime) {
  const auto prediction = predicted();
  EXPECT_NEAR(prediction.price.p50.value(), 2 * 1 * 0.5, 1e-9);
  EXPECT_NEAR(prediction.price.p90 / prediction.price.p50,
              prediction.time_to_target.p90 / prediction.time_to_target.p50, 1e-12);
}

TEST_F(Predictor, AFrameworkReservesWhatItsAllocatorHolds) {
  plan.cluster.instance.node.device.memory = Bytes(std::int64_t{1} << 30);
  costs.workspace = Bytes(3 << 20);
  const auto memory = predict_framework_memory(model, plan, costs);
  ASSERT_TRUE(memory.ok() && memory->has_value());
  // The small tensors share one segment of 2 MiB, the scratch of an op has one of 20 MiB.
  EXPECT_EQ((*memory)->reserved, Bytes(22 << 20));
  EXPECT_GT((*memory)->allocated, costs.workspace);
  plan.cluster.instance.node.device.memory = Bytes(21 << 20);
  const auto short_of_it = predict_framework_memory(model, plan, costs);
  ASSERT_TRUE(short_of_it.ok());
  EXPECT_FALSE(short_of_it->has_value());
}

TEST_F(Predictor, TheSpreadCombinesTheTermsAndTheRun) {
  const auto prediction = predicted();
  const double term = least_spread(Evidence::kMeasured);
  const double step = std::sqrt(2 * std::pow(0.5 * term, 2));
  EXPECT_NEAR(sigma_of(prediction), std::hypot(step, kRunSpread), 1e-6);
  EXPECT_NEAR(std::log(prediction.step_time.p90 / prediction.step_time.p50) / 1.2815515655, step,
              1e-6);
}

TEST_F(Predictor, ProbabilitiesExistExactlyForTheLimitsThatDo) {
  EXPECT_FALSE(predicted().p_deadline || predicted().p_budget || predicted().p_both);
  plan.deadline = Seconds(1800);
  EXPECT_NEAR(*predicted().p_deadline, 0.5, 1e-9);
  EXPECT_FALSE(predicted().p_budget || predicted().p_both);
  plan.budget = Dollars(1.1);
  const auto prediction = predicted();
  EXPECT_NEAR(*prediction.p_budget, probability_within(1.0, sigma_of(prediction), 1.1), 1e-6);
  EXPECT_EQ(*prediction.p_both, *prediction.p_deadline);
  plan.budget = Dollars(0.9);
  EXPECT_EQ(*predicted().p_both, *predicted().p_budget);
}

TEST_F(Predictor, AFreeMachineAlwaysMeetsTheBudget) {
  plan.cluster.instance.price = DollarsPerHour(0);
  plan.budget = Dollars(1e-9);
  EXPECT_EQ(*predicted().p_budget, 1);
}

TEST_F(Predictor, MemoryIsThatOfTheMemoryPlanWithTheKernelsWorkspace) {
  const auto prediction = predicted();
  EXPECT_EQ(prediction.memory.workspace, Bytes(12352));
  EXPECT_GE(prediction.memory.parameters, Bytes(4 * (64 + 8 + 32 + 4)));
  EXPECT_LT(prediction.memory.parameters, Bytes(4 * (64 + 8 + 32 + 4) + 64));
  EXPECT_GT(prediction.memory.activations, Bytes(0));
  EXPECT_EQ(prediction.process_overhead, Bytes(777));
  EXPECT_EQ(prediction.watermark, 42);
}

TEST_F(Predictor, SaysWhatItAssumes) {
  EXPECT_THAT(predicted().assumptions, Not(Contains(HasSubstr("operator times"))));
  costs.basis = "operator times of a device: all guessed";
  EXPECT_THAT(predicted().assumptions, Not(Contains(costs.basis)));  // they were measured
  costs.evidence = Evidence::kDatasheet;
  costs.overhead = std::nullopt;
  plan.budget = Dollars(5);
  const auto sentences = predicted().assumptions;
  EXPECT_THAT(sentences, Contains(HasSubstr("operator times are datasheet (spread 35 %)")));
  EXPECT_THAT(sentences, Contains(costs.basis));
  EXPECT_THAT(sentences, Contains(HasSubstr("collective times are datasheet")));
  EXPECT_THAT(sentences, Contains(HasSubstr("never measured and counts as 0")));
  EXPECT_THAT(sentences, Contains(HasSubstr("2 nodes of test:node (2026-01-01)")));
}

// A quick node beside a slow one: the step is the slow one's, the bill that of both.
TEST_F(Predictor, MixedNodesWaitForTheSlowest) {
  NodeGroup other{plan.cluster.instance, 1};
  other.instance.name = "test:slow";
  other.instance.node.device.name = "slow";
  other.instance.price = DollarsPerHour(0.25);
  const auto alone = predicted();
  plan.cluster.nodes = 1;
  plan.cluster.more = {other};
  class SlowOnOne : public TableCosts {
    OpCost op(const OpSignature& op, const DeviceSpec& device, int ranks) const override {
      auto cost = TableCosts::op(op, device, ranks);
      if (device.name == "slow") cost.time = cost.time * 3;
      return cost;
    }
  } slow_costs;
  static_cast<TableCosts&>(slow_costs) = costs;
  const auto mixed = predict(model, plan, slow_costs);
  ASSERT_TRUE(mixed.ok()) << mixed.error().message;
  EXPECT_NEAR(mixed->prediction.terms[0].time.value(), 3 * alone.terms[0].time.value(), 1e-9);
  const double hours = mixed->prediction.time_to_target.p50.value() / 3600;
  EXPECT_NEAR(mixed->prediction.price.p50.value(), hours * 1.25, 1e-9);
  EXPECT_THAT(mixed->prediction.assumptions,
              Contains(HasSubstr("wait for those of test:slow, the slowest of 2 types")));
}

TEST_F(Predictor, RefusesAPlanOfAnotherModel) {
  plan.model_fingerprint += 1;
  const auto result = predict(model, plan, costs);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kInvalidInput);
}

TEST_F(Predictor, RefusesAContradictoryPlan) {
  plan.global_batch = 9;
  EXPECT_FALSE(predict(model, plan, costs).ok());
}

TEST_F(Predictor, AnAlreadyLoweredPlanGivesTheSame) {
  const auto lowered = lower(model, plan);
  ASSERT_TRUE(lowered.ok());
  const auto again = predict(*lowered, plan, costs);
  EXPECT_EQ(again->prediction.time_to_target, predicted().time_to_target);
  EXPECT_EQ(again->prediction.memory, predicted().memory);
}

}  // namespace
}  // namespace pluto
