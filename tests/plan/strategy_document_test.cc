#include "plan/strategy_document.h"

#include <gmock/gmock.h>

#include <functional>

#include "plan/plan_rules.h"
#include "tests/support/sample_documents.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing::sample_plan;

/// A plan that uses every strategy member that goes together.
Plan every_strategy() {
  Plan plan = sample_plan();  // four data ranks
  plan.cluster.nodes = 64;
  plan.layout.tensor = 2;
  plan.layout.pipeline = 2;
  plan.layout.context = 2;
  plan.pipeline = {{"b", "c", "d"}, 2};
  plan.sequence_parallel = true;
  plan.expert = 2;
  plan.sharded = {"fc6", "fc7"};
  plan.recompute = Recompute::kFull;
  plan.precision = TrainPrecision::kBf16;
  plan.attention = AttentionKernel::kScores;
  plan.local = {8, 0.9, 1000};
  plan.priority = true;
  plan.buckets.front().algorithm = CollectiveAlgorithm::kTree;
  plan.buckets.front().wire = DType::kF16;
  plan.buckets.front().chunks = 4;
  return plan;
}

TEST(StrategyDocumentTest, EveryStrategyReadsBack) {
  const Plan plan = every_strategy();
  ASSERT_TRUE(validate(plan).ok()) << validate(plan).error().message;
  const auto read = plan_from_json(to_json(plan), "plan.json");
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(*read, plan);
}

TEST(StrategyDocumentTest, ServersOfTheirOwnAndShardsReadBack) {
  Plan served = sample_plan();
  served.cluster.nodes = 8;
  served.server_nodes = 2;
  served.servers = {4, 5};
  for (BucketPlan& bucket : served.buckets) bucket.method = SyncMethod::kFactorServer;
  Plan sharded = sample_plan();
  sharded.shard = 3;
  sharded.servers.clear();
  for (BucketPlan& bucket : sharded.buckets) bucket.method = SyncMethod::kShard;
  for (const Plan& plan : {served, sharded}) {
    const auto read = plan_from_json(to_json(plan), "plan.json");
    ASSERT_TRUE(read.ok()) << read.error().message;
    EXPECT_EQ(*read, plan);
  }
}

TEST(StrategyDocumentTest, PlainPlansHaveNoneOfTheMembers) {
  const std::string text = to_json(sample_plan());
  for (const char* key : {"context", "cuts", "sequence_parallel", "expert", "sharded", "\"shard\"",
                          "recompute", "precision", "attention", "local", "server_nodes",
                          "priority", "algorithm", "wire", "chunks"}) {
    EXPECT_THAT(text, Not(HasSubstr(key)));
  }
}

TEST(StrategyDocumentTest, UnknownWordsAndMembersHaveTheirPlace) {
  std::string text = to_json(every_strategy());
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = text;
    const auto at = changed.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    changed.replace(at, from.size(), to);
    const auto read = plan_from_json(changed, "plan.json");
    return read.ok() ? std::string("ok") : read.error().message;
  };
  EXPECT_THAT(with("\"tree\"", "\"trees\""), HasSubstr("buckets[0].algorithm"));
  EXPECT_THAT(with("\"f16\"", "\"f12\""), HasSubstr("buckets[0].wire"));
  EXPECT_THAT(with("\"recompute\": \"full\"", "\"recompute\": \"all\""), HasSubstr("recompute"));
  EXPECT_THAT(with("\"interleave\"", "\"interleaved\""), HasSubstr("interleaved"));
  EXPECT_THAT(with("\"block_momentum\"", "\"momentums\""), HasSubstr("local"));
}

TEST(StrategyDocumentTest, EveryRuleNamesItsField) {
  const struct {
    std::string path;
    std::function<void(Plan&)> change;
  } cases[] = {
      {"layout.context", [](Plan& plan) { plan.layout.context = 0; }},
      {"pipeline.interleave", [](Plan& plan) { plan.pipeline.interleave = 0; }},
      {"pipeline.cuts", [](Plan& plan) { plan.pipeline.cuts.pop_back(); }},
      {"pipeline", [](Plan& plan) { plan.layout.pipeline = 1; }},
      {"expert", [](Plan& plan) { plan.expert = 3; }},
      {"sequence_parallel", [](Plan& plan) { plan.layout.tensor = 1; }},
      {"shard", [](Plan& plan) { plan.shard = 4; }},
      {"local.steps", [](Plan& plan) { plan.local.steps = 0; }},
      {"local.block_momentum", [](Plan& plan) { plan.local.block_momentum = 1; }},
      {"local.synchronous_samples", [](Plan& plan) { plan.local.synchronous_samples = -1; }},
      {"server_nodes", [](Plan& plan) { plan.server_nodes = -1; }},
      {"buckets[0].chunks", [](Plan& plan) { plan.buckets[0].chunks = 0; }},
      {"buckets[0].wire", [](Plan& plan) { plan.buckets[0].wire = DType::kI32; }},
      {"buckets[0].method",
       [](Plan& plan) {
         plan.local = {};
         plan.shard = 1;
       }},
  };
  for (const auto& one : cases) {
    Plan plan = every_strategy();
    one.change(plan);
    const Verdict verdict = check_plan(plan);
    ASSERT_TRUE(verdict.has_value()) << one.path;
    EXPECT_EQ(verdict->path, one.path) << verdict->message;
  }
}

}  // namespace
}  // namespace pluto
