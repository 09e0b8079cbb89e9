#include "plan/groups.h"

#include <gtest/gtest.h>

namespace pluto {
namespace {

TEST(GroupsTest, TensorRanksAreNeighbours) {
  Plan plan;
  plan.layout = {.data = 4, .tensor = 2, .pipeline = 3, .context = 5};
  plan.expert = 2;
  EXPECT_EQ(group_shape(plan, RankGroup::kTensor), (GroupShape{2, 1}));
  EXPECT_EQ(group_shape(plan, RankGroup::kContext), (GroupShape{5, 2}));
  EXPECT_EQ(group_shape(plan, RankGroup::kData), (GroupShape{4, 10}));
  EXPECT_EQ(group_shape(plan, RankGroup::kExpert), (GroupShape{2, 10}));
  EXPECT_EQ(sync_group(plan.layout), (GroupShape{20, 2}));
}

TEST(GroupsTest, NeighboursFillANodeFirst) {
  EXPECT_EQ(placement_of({2, 1}, 64, 8), (GroupPlacement{2, 4}));
  EXPECT_EQ(placement_of({8, 1}, 64, 8), (GroupPlacement{8, 1}));
  EXPECT_EQ(placement_of({16, 1}, 64, 8), (GroupPlacement{8, 1}));
  EXPECT_EQ(placement_of({8, 8}, 64, 8), (GroupPlacement{1, 8}));
  EXPECT_EQ(placement_of({32, 2}, 64, 8), (GroupPlacement{4, 2}));
  EXPECT_EQ(placement_of({2, 2}, 4, 8), (GroupPlacement{2, 2}));
  EXPECT_EQ(placement_of({1, 1}, 1, 8), (GroupPlacement{1, 1}));
}

TEST(GroupsTest, RanksOfANodeAreShared) {
  for (const int devices : {1, 2, 4, 8}) {
    for (const int stride : {1, 2, 4, 8, 16}) {
      for (const int ranks : {2, 4, 8}) {
        const GroupPlacement placed = placement_of({ranks, stride}, 128, devices);
        EXPECT_EQ(placed.per_node * placed.groups, devices);
        EXPECT_LE(placed.per_node, ranks);
      }
    }
  }
}

}  // namespace
}  // namespace pluto
