#include "costmodel/what_if.h"

#include <gtest/gtest.h>

#include "costmodel/collective_time.h"
#include "plan/catalog.h"
#include "tests/support/small_models.h"
#include "tests/support/table_costs.h"

namespace pluto {
namespace {

using testing::perceptron;
using testing::TableCosts;
using testing::test_cluster;

/// A world of one change.
WhatIf device(double factor) { return {.device_speed = factor}; }
WhatIf node(double factor) { return {.node_bandwidth = factor}; }
WhatIf network(double factor) { return {.network_bandwidth = factor}; }
WhatIf price(double factor) { return {.price = factor}; }
WhatIf samples(double factor) { return {.samples = factor}; }

const Term& term(const Prediction& prediction, const std::string& name) {
  for (const Term& one : prediction.terms) {
    if (one.name == name) return one;
  }
  ADD_FAILURE() << "no term " << name;
  return prediction.terms.front();
}

class WhatIfTest : public ::testing::Test {
 protected:
  WhatIfTest() {
    plan.model.source = "perceptron";
    plan.data.samples = plan.dataset_samples = 6400;
    plan.model_fingerprint = model.graph.fingerprint();
    plan.cluster = test_cluster(4, 1, 1e-6, 1e7);
    plan.layout.data = 4;
    plan.global_batch = 64;
    plan.micro_batch = 16;
    plan.steps = 1000;
    plan.buckets = {{SyncMethod::kAllReduce, {"fc1.w", "fc1.b", "fc0.w", "fc0.b"}}};
    costs.op_seconds = [](const OpSignature& op) { return op_work(op).flops.value() / 1e9; };
    datasheet.collective_seconds = [](const CollectiveCall& call, const ClusterSpec& cluster) {
      return collective_time(call, cluster).total().value();
    };
    costs.collective_seconds = datasheet.collective_seconds;
  }
  Prediction predicted(const WhatIf& what_if) {
    const auto result = predict_if(model, plan, costs, datasheet, what_if);
    EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message);
    return result.ok() ? *result : Prediction{};
  }
  ModelGraph model = perceptron({64, 64, 10});
  Plan plan;
  TableCosts costs, datasheet;
};

TEST_F(WhatIfTest, NothingChangedIsThePredictionItself) {
  const auto same = predict(model, plan, costs);
  ASSERT_TRUE(same.ok());
  EXPECT_EQ(to_value(predicted({})), to_value(same->prediction));
}

TEST_F(WhatIfTest, PriceMovesThePriceAlone) {
  const Prediction now = predicted({}), dearer = predicted(price(1.1));
  EXPECT_EQ(dearer.time_to_target, now.time_to_target);
  EXPECT_DOUBLE_EQ(dearer.price.p50.value(), 1.1 * now.price.p50.value());
  plan.cluster.market = Market::kSpot;
  plan.cluster.instance.spot_price = DollarsPerHour(0.3);
  EXPECT_NEAR(predicted(price(0.9)).price.p50 / predicted({}).price.p50, 0.9, 1e-12);
}

TEST_F(WhatIfTest, SamplesMoveStepsTimeAndPriceAlike) {
  const Prediction now = predicted({}), longer = predicted(samples(1.1));
  EXPECT_EQ(longer.steps, 1100);
  EXPECT_EQ(longer.step_time, now.step_time);
  EXPECT_NEAR(longer.time_to_target.p50 / now.time_to_target.p50, 1.1, 1e-12);
  EXPECT_EQ(changed(plan, samples(1e-9)).steps, 1);
}

TEST_F(WhatIfTest, AFasterDeviceShortensOperatorsAndNothingElse) {
  const Prediction now = predicted({}), faster = predicted(device(2));
  EXPECT_NEAR(term(now, "compute").time / term(faster, "compute").time, 2, 1e-9);
  EXPECT_GE(term(faster, "exposed_comm").time, term(now, "exposed_comm").time);
  EXPECT_LT(faster.step_time.p50, now.step_time.p50);
}

TEST_F(WhatIfTest, TheNetworkMattersBetweenNodesAndTheOtherLinkWithin) {
  const Seconds apart = predicted({}).step_time.p50;
  EXPECT_LT(predicted(network(1.1)).step_time.p50, apart);
  EXPECT_GT(predicted(network(0.9)).step_time.p50, apart);
  EXPECT_EQ(predicted(node(0.9)).step_time.p50, apart);
  plan.cluster = test_cluster(1, 4, 1e-6, 1e7);
  const Seconds together = predicted({}).step_time.p50;
  EXPECT_GT(predicted(node(0.9)).step_time.p50, together);
  EXPECT_EQ(predicted(network(0.9)).step_time.p50, together);
}

// A measured collective does not know of datasheets: it moves as much as theirs would.
TEST_F(WhatIfTest, WhatWasMeasuredMovesAsTheDatasheetDoes) {
  costs.collective_seconds = [](const CollectiveCall&, const ClusterSpec&) { return 0.5; };
  datasheet.collective_seconds = [](const CollectiveCall&, const ClusterSpec& cluster) {
    return 1e6 / cluster.instance.node.network.bandwidth.value();
  };
  const Seconds now = term(predicted({}), "exposed_comm").time;
  const Seconds slower = term(predicted(network(0.5)), "exposed_comm").time;
  EXPECT_NEAR((slower - now).value(), 0.5, 1e-6);
}

TEST(WhatIfTransformerTest, TheClosedFormIsAskedAgain) {
  const std::string data = PLUTO_SOURCE_DIR "/data";
  Plan plan;
  plan.cluster = {Catalog::load(data + "/catalog")->instance("aws:p4d.24xlarge").value(), 8};
  plan.cluster.instance.rental.reset();  // start-up and storage do not scale
  plan.layout.data = 8;
  plan.layout.tensor = 8;
  plan.precision = TrainPrecision::kBf16;
  plan.global_batch = 64;
  plan.micro_batch = 1;
  plan.accumulation = 8;
  plan.steps = 100;
  plan.optimizer = AdamAttrs{};
  const auto shape = TransformerShape::gpt(24, 2048, 16, 2048, 51200);
  const auto table = TransformerCostTable::load(data + "/transformer.json").value();
  const auto evidence = transformer_evidence({}, plan.cluster.instance.node.device, table).value();
  const auto step = [&](const WhatIf& what_if) {
    const auto result = predict_if(shape, plan, evidence, what_if);
    EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message);
    return *result;
  };
  const Prediction now = step({});
  EXPECT_EQ(to_value(now),
            to_value(predict_transformer_plan(shape, plan, evidence).value().prediction));
  const Prediction faster = step(device(1.1));
  EXPECT_LT(term(faster, "compute").time, term(now, "compute").time);
  // What the host keeps waiting hides less of the communication of a faster device, never more.
  EXPECT_LT(faster.step_time.p50, now.step_time.p50);
  EXPECT_GT(term(step(node(0.9)), "tensor_comm").time, term(now, "tensor_comm").time);
  EXPECT_GT(step(network(0.5)).step_time.p50, now.step_time.p50);
  // Stored checkpoints do not follow the price of the nodes, nor does their start the samples.
  EXPECT_NEAR(step(price(1.1)).price.p50 / now.price.p50, 1.1, 1e-5);
  const auto training = [](const Prediction& one) { return one.run_terms.front().time; };
  EXPECT_NEAR(training(step(samples(0.9))) / training(now), 0.9, 1e-12);
}

}  // namespace
}  // namespace pluto
