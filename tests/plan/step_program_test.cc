#include "plan/step_program.h"

#include <gmock/gmock.h>

#include "tests/support/toy_models.h"

namespace pluto {
namespace {

TEST(StepProgramTest, ShardsPartitionTheElements) {
  for (std::int64_t elements : {0, 1, 3, 7, 1000}) {
    for (int shards : {1, 2, 3, 16}) {
      std::int64_t next = 0;
      for (int shard = 0; shard < shards; ++shard) {
        const ElementRange range = shard_range(elements, shard, shards);
        EXPECT_EQ(range.begin, next);
        EXPECT_LE(range.end - range.begin, (elements + shards - 1) / shards);
        next = range.end;
      }
      EXPECT_EQ(next, elements);
    }
  }
}

TEST(StepProgramTest, ASplitIsThePartOfTheShardInTheParameter) {
  // A bucket of 10 floats over 3 servers: [0,3) [3,6) [6,10); the parameter is [4,9) of it.
  const ShardSplit split{10, 4, 5, 3};
  EXPECT_TRUE(split[0].empty());
  EXPECT_EQ(split[1], (ElementRange{0, 2}));
  EXPECT_EQ(split[2], (ElementRange{2, 5}));
  EXPECT_EQ(split.size(), 3U);
  EXPECT_FALSE(split.empty());
  EXPECT_TRUE(ShardSplit{}.empty());
}

TEST(StepProgramTest, AShardMayLieWhollyBehindTheParameter) {
  const ShardSplit split{100, 0, 5, 4};
  EXPECT_EQ(split[0], (ElementRange{0, 5}));
  for (std::size_t server = 1; server < 4; ++server) EXPECT_TRUE(split[server].empty());
}

TEST(StepProgramTest, TasksAreNamedByNodeAndMicroBatch) {
  const auto training = differentiate(pluto::testing::two_layers(), SgdAttrs{});
  ASSERT_TRUE(training.ok());
  StepProgram program;
  const Task op{TaskId(0), Resource::kCompute, OpTask{OpId(1), 1, {}}, {}};
  const Task batch{TaskId(1), Resource::kInput, BatchTask{2, Bytes(1)}, {}};
  CollectiveTask collective;
  collective.op = OpId(2);
  const Task communication{TaskId(2), Resource::kNetwork, collective, {}};
  EXPECT_EQ(task_name(*training, program, op), "act1");
  EXPECT_EQ(task_name(*training, program, batch), "batch");
  EXPECT_EQ(task_name(*training, program, communication), "fc2");
  program.accumulation = 3;
  EXPECT_EQ(task_name(*training, program, op), "act1 #1");
  EXPECT_EQ(task_name(*training, program, batch), "batch #2");
}

TEST(StepProgramTest, ResourcesHaveNames) {
  EXPECT_STREQ(to_text(Resource::kCompute), "compute");
  EXPECT_STREQ(to_text(Resource::kNetwork), "network");
  EXPECT_STREQ(to_text(Resource::kInput), "input");
}

}  // namespace
}  // namespace pluto
