#include "costmodel/input_pipeline.h"

#include <gmock/gmock.h>

#include "costmodel/predictor.h"
#include "tests/support/small_models.h"
#include "tests/support/table_costs.h"
#include "tests/support/toy_plan.h"

namespace pluto {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using testing::TableCosts;
using testing::test_cluster;

DataChoice images() {
  DataChoice data;
  data.readers = 4;
  data.sample_time = Seconds(8e-3);  // a JPEG of ImageNet on one core
  data.stored_sample = Bytes(110'000);
  return data;
}

TEST(InputPipeline, ReadersWorkSideBySide) {
  const NodeSpec node = test_cluster(1, 8).instance.node;
  const auto time = input_time(images(), Bytes(600'000), node, 8, TableCosts());
  EXPECT_NEAR(time.per_sample.value(), 2e-3, 1e-12);
  EXPECT_EQ(time.bound, InputBound::kReaders);
}

TEST(InputPipeline, RanksShareTheProcessorsOfTheirNode) {
  NodeSpec node = test_cluster(1, 8).instance.node;
  node.cores = 16;  // two for each of eight ranks
  const auto time = input_time(images(), Bytes(600'000), node, 8, TableCosts());
  EXPECT_NEAR(time.per_sample.value(), 4e-3, 1e-12);
  EXPECT_EQ(time.bound, InputBound::kProcessors);
  EXPECT_EQ(input_time(images(), Bytes(600'000), node, 4, TableCosts()).bound,
            InputBound::kReaders);
}

TEST(InputPipeline, RanksShareTheStorageOfTheirNode) {
  const NodeSpec node = test_cluster(1, 8).instance.node;
  DataChoice data = images();
  data.storage = BytesPerSecond(250e6);
  const auto time = input_time(data, Bytes(600'000), node, 8, TableCosts());
  EXPECT_NEAR(time.per_sample.value(), 110'000 * 8 / 250e6, 1e-12);
  EXPECT_EQ(time.bound, InputBound::kStorage);
  // what is not stored smaller comes as it is
  data.stored_sample.reset();
  EXPECT_NEAR(input_time(data, Bytes(600'000), node, 8, TableCosts()).per_sample.value(),
              600'000 * 8 / 250e6, 1e-12);
}

TEST(InputPipeline, WithoutAFigureTheSourceIsAsked) {
  TableCosts costs;
  costs.input_seconds = 0.5;
  costs.evidence = Evidence::kInterpolated;
  DataChoice data;
  data.readers = 2;
  const auto time = input_time(data, Bytes(1), test_cluster(1, 1).instance.node, 1, costs);
  EXPECT_EQ(time.per_sample, Seconds(0.25));
  EXPECT_EQ(time.evidence, Evidence::kInterpolated);
}

TEST(InputPipeline, AQueueHidesReadingBehindTheStep) {
  DataChoice data;
  EXPECT_EQ(exposed_input(data, Seconds(3), Seconds(5)), Seconds(0));
  EXPECT_EQ(exposed_input(data, Seconds(7), Seconds(5)), Seconds(2));
  data.queue = 0;
  EXPECT_EQ(exposed_input(data, Seconds(3), Seconds(5)), Seconds(3));
}

TEST(InputPipeline, PredictionsSayWhatReadingIsBoundBy) {
  const ModelGraph model = testing::perceptron({4, 4});
  Plan plan = testing::plan_for(model, 1, 10);
  plan.cluster = test_cluster(1, 1);
  TableCosts costs;
  costs.op_seconds = [](const OpSignature& op) { return op.kind == OpKind::kLinear ? 0.01 : 0; };
  plan.data.sample_time = Seconds(8e-3);
  const auto bound = [&] {
    const auto result = predict(model, plan, costs);
    EXPECT_TRUE(result.ok());
    return result->prediction;
  };
  // 80 ms for a step of 20
  EXPECT_THAT(bound().assumptions, Contains(HasSubstr("bound by readers; 4 of them would hide")));
  const Bytes two_sets = bound().memory.inputs;
  plan.data.queue = 3;
  EXPECT_EQ(bound().memory.inputs, two_sets * 2);
  plan.data.queue = 0;
  EXPECT_THAT(bound().assumptions, Contains(HasSubstr("data.queue: 1")));
  plan.data.queue = 1;
  plan.data.storage = BytesPerSecond(1);
  EXPECT_THAT(bound().assumptions, Contains(HasSubstr("bound by storage")));
}

}  // namespace
}  // namespace pluto
