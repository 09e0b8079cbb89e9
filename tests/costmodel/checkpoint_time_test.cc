#include "costmodel/checkpoint_time.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>

#include "costmodel/predictor.h"
#include "tests/support/small_models.h"
#include "tests/support/table_costs.h"
#include "tests/support/toy_plan.h"

namespace pluto {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using testing::test_cluster;

MemoryBreakdown rank_of(std::int64_t state) {
  MemoryBreakdown memory;
  memory.parameters = Bytes(state / 3);
  memory.optimizer_state = Bytes(state / 3 * 2);
  memory.activations = Bytes(123456789);  // is not written
  return memory;
}

Plan spread(int data, int tensor, int pipeline, int nodes, int devices) {
  Plan plan;
  plan.layout = {data, tensor, pipeline};
  plan.cluster = test_cluster(nodes, devices);
  plan.data.storage = BytesPerSecond(1e9);
  return plan;
}

TEST(CheckpointTime, OneCopyOfTheModelIsWritten) {
  EXPECT_NEAR(checkpoint_time(spread(8, 1, 1, 8, 1), rank_of(3'000'000'000))->value(), 3, 1e-9);
}

TEST(CheckpointTime, NodesWithDifferentPartsWriteSideBySide) {
  // eight tensor ranks fill a node; four stages are on nodes of their own
  EXPECT_NEAR(checkpoint_time(spread(1, 8, 4, 4, 8), rank_of(3'000'000))->value(),
              3e6 * 32 / (4 * 1e9), 1e-9);
  // with ZeRO every rank writes its own
  Plan sharded = spread(16, 1, 1, 2, 8);
  sharded.shard = 3;
  EXPECT_NEAR(checkpoint_time(sharded, rank_of(3'000'000))->value(), 3e6 * 16 / (2 * 1e9), 1e-9);
  // two stages share a node
  EXPECT_NEAR(checkpoint_time(spread(1, 1, 4, 2, 2), rank_of(3'000'000))->value(),
              3e6 * 4 / (2 * 1e9), 1e-9);
}

TEST(CheckpointTime, IsATermOfTheRunWhereTheStorageIsKnown) {
  const ModelGraph model = testing::perceptron({64, 64, 4});
  Plan plan = testing::plan_for(model, 1, 4);
  plan.cluster = test_cluster(1, 1);
  testing::TableCosts costs;
  costs.op_seconds = [](const OpSignature&) { return 1e-3; };
  plan.checkpoint_every = 10;
  const auto unpriced = predict(model, plan, costs)->prediction;
  EXPECT_THAT(unpriced.assumptions, Contains(HasSubstr("would price the checkpoints")));
  plan.data.storage = BytesPerSecond(1e6);
  const auto priced = predict(model, plan, costs)->prediction;
  const auto term = std::ranges::find(priced.run_terms, "checkpoint", &RunTerm::name);
  ASSERT_NE(term, priced.run_terms.end());
  const auto& memory = priced.memory;
  EXPECT_NEAR(term->time.value(),
              static_cast<double>((memory.parameters + memory.optimizer_state).value()) / 1e6 *
                  std::ceil(static_cast<double>(plan.steps) / 10),
              1e-9);
  EXPECT_GT(priced.time_to_target.p50, unpriced.time_to_target.p50);
  EXPECT_EQ(priced.step_time.p50, unpriced.step_time.p50);
}

}  // namespace
}  // namespace pluto
