#include "plan/collective_task.h"

#include <gmock/gmock.h>

#include "model/zoo.h"
#include "tests/plan/lowered_plans.h"
#include "tests/support/graph_checks.h"
#include "tests/support/random_model.h"
#include "tests/support/toy_models.h"
#include "tests/support/toy_plan.h"

namespace pluto {
namespace {

using pluto::testing::collectives;
using pluto::testing::lowered;
using pluto::testing::plan_with;
using pluto::testing::two_layers;
using ::testing::ElementsAre;

TEST(CollectiveTaskTest, AllReduceCarriesTheWholeBucket) {
  const LoweredPlan plan =
      lowered(two_layers(), plan_with(two_layers(), SyncMethod::kAllReduce, 4, 8));
  ASSERT_EQ(collectives(plan).size(), 1U);
  const CollectiveTask task = collectives(plan)[0];
  EXPECT_EQ(task.kind, CollectiveKind::kAllReduce);
  EXPECT_EQ(task.bytes, Bytes(4 * (6 * 4 + 6 + 3 * 6 + 3)));
}

TEST(CollectiveTaskTest, ServersScatterAndGatherTheWholeBucket) {
  Plan plan = plan_with(two_layers(), SyncMethod::kParameterServer, 4, 8);
  plan.servers = {0, 2};
  const auto tasks = collectives(lowered(two_layers(), plan));
  ASSERT_EQ(tasks.size(), 2U);
  EXPECT_EQ(tasks[0].kind, CollectiveKind::kReduceScatter);
  EXPECT_EQ(tasks[1].kind, CollectiveKind::kAllGather);
  for (const CollectiveTask& task : tasks) {
    EXPECT_EQ(task.bytes, Bytes(4 * 51));
    EXPECT_EQ(task.servers, 2);
  }
}

TEST(CollectiveTaskTest, FactorsCarryRowsOfAllRanks) {
  const LoweredPlan plan =
      lowered(two_layers(), plan_with(two_layers(), SyncMethod::kSufficientFactor, 4, 8));
  // dy(3) and act1(6) of fc2, then dy(6) and x(4) of fc1; 8 samples of each of 4 ranks.
  std::vector<std::int64_t> floats_per_sample;
  for (const CollectiveTask& task : collectives(plan)) {
    EXPECT_EQ(task.kind, CollectiveKind::kAllGather);
    EXPECT_EQ(task.servers, 4);
    floats_per_sample.push_back(task.bytes.value() / (4 * 8 * 4));
  }
  EXPECT_THAT(floats_per_sample, ElementsAre(3, 6, 6, 4));
}

}  // namespace
}  // namespace pluto
