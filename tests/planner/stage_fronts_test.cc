#include "planner/stage_fronts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <limits>

#include "tests/support/seeded_properties.h"

namespace pluto {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

double step_of(const std::vector<std::vector<StageOption>>& stages,
               const std::vector<std::size_t>& option, std::int64_t micro_batches) {
  double slowest = 0, sum = 0;
  for (std::size_t s = 0; s < stages.size(); ++s) {
    const StageOption& own = stages[s][option[s]];
    slowest = std::max(slowest, own.steady.value());
    sum += (own.steady + own.once).value();
  }
  return static_cast<double>(micro_batches - 1) * slowest + sum;
}

RC_GTEST_PROP(JoinStages, IsTheBestOfAllJoins, ()) {
  std::vector<std::vector<StageOption>> stages(static_cast<std::size_t>(*rc::gen::inRange(1, 5)));
  for (auto& stage : stages) {
    const int options = *rc::gen::inRange(1, 5);
    for (int o = 0; o < options; ++o) {
      stage.push_back({Seconds(*rc::gen::inRange(0, 20)), Seconds(*rc::gen::inRange(0, 50))});
    }
  }
  const std::int64_t micro_batches = *rc::gen::inRange(1, 10);
  double expected = std::numeric_limits<double>::infinity();
  std::vector<std::size_t> option(stages.size(), 0);
  for (std::size_t i = 0; i < option.size();) {
    expected = std::min(expected, step_of(stages, option, micro_batches));
    i = 0;
    while (i < option.size() && ++option[i] == stages[i].size()) option[i++] = 0;
  }
  const auto found = join_stages(stages, micro_batches);
  RC_ASSERT(found.ok());
  RC_ASSERT(found->step.value() == expected);
  RC_ASSERT(step_of(stages, found->option, micro_batches) == expected);
}

TEST(JoinStages, TakesASlowerSteadyTimeWhereAnotherStageIsSlowerAnyway) {
  const std::vector<std::vector<StageOption>> stages{
      {{Seconds(5), Seconds(0)}}, {{Seconds(2), Seconds(9)}, {Seconds(5), Seconds(1)}}};
  const auto found = join_stages(stages, 4);
  ASSERT_TRUE(found.ok());
  EXPECT_THAT(found->option, ElementsAre(0, 1));
  EXPECT_DOUBLE_EQ(found->step.value(), 3 * 5 + 5 + 6);
}

TEST(JoinStages, RefusesStagesWithoutOptions) {
  EXPECT_THAT(join_stages({}, 1).error().message, HasSubstr("0 stages"));
  const std::vector<std::vector<StageOption>> one(1);
  EXPECT_THAT(join_stages(one, 1).error().message, HasSubstr("stage 0 has no options"));
  EXPECT_THAT(join_stages(one, 0).error().message, HasSubstr("0 micro-batches"));
}

}  // namespace
}  // namespace pluto
