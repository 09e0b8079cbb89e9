#include "plan/bucket_pieces.h"

#include <gmock/gmock.h>

#include "plan/bucket_slots.h"
#include "tests/plan/lowered_plans.h"
#include "tests/support/toy_models.h"
#include "tests/support/toy_plan.h"

namespace pluto {
namespace {

using pluto::testing::collectives;
using pluto::testing::lowered;
using pluto::testing::names;
using pluto::testing::plan_with;
using pluto::testing::predecessors;
using pluto::testing::task_named;
using pluto::testing::two_layers;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsSupersetOf;
using ::testing::Not;

// The bucket of two_layers() in gradient order: fc2.weight 18, fc2.bias 3, fc1.weight 24,
// fc1.bias 6.
Plan in_chunks(SyncMethod method, int chunks, int ranks = 3) {
  Plan plan = plan_with(two_layers(), method, ranks);
  plan.buckets.front().chunks = chunks;
  return plan;
}

TEST(BucketSlotsTest, ParametersFollowEachOtherInTheirBucket) {
  const Plan plan = plan_with(two_layers(), SyncMethod::kAllReduce, 2);
  const auto slots = bucket_slots(lowered(two_layers(), plan).training, plan);
  ASSERT_EQ(slots.size(), 4U);
  EXPECT_EQ(slots[2].offset, 21);
  EXPECT_EQ(slots[2].elements, 24);
  EXPECT_EQ(slots[2].bucket_elements, 51);
  Plan alone = plan;
  alone.layout.data = 1;
  EXPECT_TRUE(bucket_slots(lowered(two_layers(), plan).training, alone).empty());
}

TEST(BucketPiecesTest, ChunksShareTheBytesOfTheBucket) {
  const LoweredPlan plan = lowered(two_layers(), in_chunks(SyncMethod::kAllReduce, 3));
  std::vector<std::int64_t> bytes;
  for (const CollectiveTask& task : collectives(plan)) bytes.push_back(task.bytes.value());
  EXPECT_THAT(bytes, ElementsAre(68, 68, 68));
  EXPECT_EQ(collectives(plan)[1].part, (ElementRange{17, 34}));
}

TEST(BucketPiecesTest, AnUpdateWaitsForItsChunksOnly) {
  const LoweredPlan plan = lowered(two_layers(), in_chunks(SyncMethod::kAllReduce, 3));
  // fc2.weight is cut after 17 elements.
  EXPECT_THAT(predecessors(plan, "fc2.weight.update [0, 17)"),
              Contains("bucket0.all_reduce [0, 17)"));
  EXPECT_THAT(predecessors(plan, "fc2.weight.update [0, 17)"),
              Not(Contains("bucket0.all_reduce [17, 34)")));
  EXPECT_THAT(predecessors(plan, "fc2.weight.update [17, 18)"),
              Contains("bucket0.all_reduce [17, 34)"));
  EXPECT_THAT(predecessors(plan, "fc1.bias.update"), Contains("bucket0.all_reduce [34, 51)"));
}

TEST(BucketPiecesTest, APulledChunkWaitsForItsUpdatesOnly) {
  const LoweredPlan plan = lowered(two_layers(), in_chunks(SyncMethod::kParameterServer, 3));
  EXPECT_THAT(predecessors(plan, "bucket0.pull [0, 17)"), Contains("fc2.weight.update [0, 17)"));
  EXPECT_THAT(predecessors(plan, "bucket0.pull [0, 17)"),
              Not(Contains("fc2.weight.update [17, 18)")));
  EXPECT_THAT(
      predecessors(plan, "bucket0.pull [17, 34)"),
      IsSupersetOf({"fc2.weight.update [17, 18)", "fc2.bias.update", "fc1.weight.update [0, 13)"}));
  // Three servers share each chunk.
  const auto& task = std::get<OpTask>(task_named(plan, "fc1.weight.update [0, 13)").payload);
  EXPECT_EQ(task.shards, (ShardSplit{17, 4, 13, 3}));
}

TEST(BucketPiecesTest, ServersOfTheirOwnUpdateOnTheirDevices) {
  Plan plan = plan_with(two_layers(), SyncMethod::kParameterServer, 2);
  plan.server_nodes = 1;
  plan.cluster.nodes = 3;
  plan.servers = {2};
  const LoweredPlan apart = lowered(two_layers(), plan);
  EXPECT_EQ(task_named(apart, "fc1.bias.update").resource, Resource::kServer);
  const auto tasks = collectives(apart);
  EXPECT_EQ(tasks[0].direction, Direction::kUp);
  EXPECT_EQ(tasks[0].server_nodes, 1);
  EXPECT_EQ(tasks[1].direction, Direction::kDown);
  plan.server_nodes = 0;
  plan.cluster.nodes = 2;
  plan.servers = {1};
  const LoweredPlan colocated = lowered(two_layers(), plan);
  EXPECT_EQ(task_named(colocated, "fc1.bias.update").resource, Resource::kCompute);
  EXPECT_EQ(collectives(colocated)[0].direction, Direction::kBoth);
}

TEST(BucketPiecesTest, FactorsAreMultipliedByTheServerOfTheirBucket) {
  Plan plan = plan_with(two_layers(), SyncMethod::kFactorServer, 3);
  const BucketPlan all = plan.buckets.front();
  plan.buckets = {all, all};
  plan.buckets[0].parameters = {"fc2.weight", "fc2.bias"};
  plan.buckets[1].parameters = {"fc1.weight", "fc1.bias"};
  const LoweredPlan result = lowered(two_layers(), plan);
  const auto server_of = [&](const char* name) {
    return std::get<OpTask>(task_named(result, name).payload).server;
  };
  EXPECT_EQ(server_of("fc2.backward_weight"), 0);
  EXPECT_EQ(server_of("fc2.bias.update"), 0);
  EXPECT_EQ(server_of("fc1.backward_weight"), 1);
  EXPECT_EQ(server_of("fc1"), std::nullopt);
  EXPECT_EQ(collectives(result)[0].kind, CollectiveKind::kGather);
  EXPECT_EQ(collectives(result).back().servers, 1);
  EXPECT_EQ(collectives(result).back().server, 1);
}

TEST(BucketPiecesTest, SixteenBitsHalveTheBytes) {
  for (const SyncMethod method : {SyncMethod::kAllReduce, SyncMethod::kParameterServer,
                                  SyncMethod::kSufficientFactor, SyncMethod::kFactorServer}) {
    Plan plan = plan_with(two_layers(), method, 3);
    const auto whole = collectives(lowered(two_layers(), plan));
    plan.buckets.front().wire = DType::kBF16;
    const auto half = collectives(lowered(two_layers(), plan));
    ASSERT_EQ(whole.size(), half.size());
    for (std::size_t i = 0; i < whole.size(); ++i) {
      EXPECT_EQ(whole[i].bytes, half[i].bytes * 2) << to_text(method);
    }
  }
}

TEST(BucketPiecesTest, ShardsMoveTwiceOrThreeTimesTheParameters) {
  // Rajbhandari et al. 2020, section 7: 2, 2 and 3 Psi.
  const std::int64_t psi = 4 * 51;
  for (const auto& [stage, times] : {std::pair(1, 2), {2, 2}, {3, 3}}) {
    Plan plan = plan_with(two_layers(), SyncMethod::kShard, 4);
    plan.shard = stage;
    plan.servers.clear();
    Bytes moved;
    for (const CollectiveTask& task : collectives(lowered(two_layers(), plan))) {
      EXPECT_EQ(task.servers, 4);
      moved += task.bytes;
    }
    EXPECT_EQ(moved, Bytes(times * psi)) << stage;
  }
}

TEST(BucketPiecesTest, GatheredParametersWaitForTheirTurn) {
  Plan plan = plan_with(two_layers(), SyncMethod::kShard, 4);
  plan.shard = 3;
  plan.servers.clear();
  const LoweredPlan result = lowered(two_layers(), plan);
  EXPECT_THAT(predecessors(result, "bucket0.gather_backward"), Contains("fc2.backward_weight"));
}

}  // namespace
}  // namespace pluto
