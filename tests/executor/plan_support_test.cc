#include "executor/plan_support.h"

#include <gmock/gmock.h>

#include <functional>

namespace pluto {
namespace {

TEST(PlanSupportTest, NamesTheFieldItCannotRun) {
  struct Case {
    std::string field;
    std::function<void(Plan&)> change;
  };
  const std::vector<Case> cases = {
      {"precision: bf16 ", [](Plan& plan) { plan.precision = TrainPrecision::kBf16; }},
      {"data.queue: 3 ", [](Plan& plan) { plan.data.queue = 3; }},
      {"evaluation.every: 9 ",
       [](Plan& plan) {
         plan.evaluation = {100, 9};
       }},
      {"layout.tensor: 2 ", [](Plan& plan) { plan.layout.tensor = 2; }},
      {"layout.context: 2 ", [](Plan& plan) { plan.layout.context = 2; }},
      {"layout.pipeline: 4 ", [](Plan& plan) { plan.layout.pipeline = 4; }},
      {"expert: 2 ", [](Plan& plan) { plan.expert = 2; }},
      {"sharded: fc1 ",
       [](Plan& plan) {
         plan.layout.data = 2;
         plan.sharded = {"fc1"};
       }},
      {"shard: 2 ", [](Plan& plan) { plan.shard = 2; }},
      {"server_nodes: 1 ", [](Plan& plan) { plan.server_nodes = 1; }},
      {"priority: true ", [](Plan& plan) { plan.priority = true; }},
      {"local.steps: 8 ", [](Plan& plan) { plan.local.steps = 8; }},
      {"buckets[0].algorithm: tree ",
       [](Plan& plan) { plan.buckets[0].algorithm = CollectiveAlgorithm::kTree; }},
      {"buckets[0].wire: bf16 ", [](Plan& plan) { plan.buckets[0].wire = DType::kBF16; }},
      {"buckets[0].chunks: 4 ", [](Plan& plan) { plan.buckets[0].chunks = 4; }},
      {"buckets[0].method: factor_server ",
       [](Plan& plan) { plan.buckets[0].method = SyncMethod::kFactorServer; }},
  };
  Plan plan;
  plan.buckets.emplace_back();
  EXPECT_TRUE(check_runnable(plan).ok());
  for (const auto& one : cases) {
    Plan changed = plan;
    one.change(changed);
    const auto result = check_runnable(changed);
    ASSERT_FALSE(result.ok()) << one.field;
    EXPECT_EQ(result.error().code, ErrorCode::kUnsupported);
    EXPECT_THAT(result.error().message, ::testing::StartsWith(one.field));
    EXPECT_FALSE(result.error().help.empty());
  }
}

}  // namespace
}  // namespace pluto
