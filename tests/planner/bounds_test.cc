#include "planner/bounds.h"

#include <gtest/gtest.h>

#include "costmodel/predictor.h"
#include "planner/space.h"
#include "planner/sync_choice.h"
#include "tests/support/planner_cases.h"

namespace pluto {
namespace {

using testing::candidate;
using testing::perceptron;
using testing::random_costs;
using testing::small_convnet;
using testing::small_job;
using testing::TableCosts;

const std::vector<SyncMethod> kAll{SyncMethod::kAllReduce, SyncMethod::kParameterServer,
                                   SyncMethod::kSufficientFactor};

TEST(Bounds, NoChoiceOfMethodsBeatsThem) {
  for (std::uint64_t salt = 0; salt < 4; ++salt) {
    const auto model = salt % 2 == 0 ? perceptron({12, 16, 8, 4}) : small_convnet(8, 4);
    auto costs = random_costs(salt, 1e-4, static_cast<double>(salt));
    costs.cpu_share = 0.2;
    costs.input_seconds = salt == 3 ? 1.0 : 0.0;
    const auto place = candidate("a", 3, 1);
    const auto job = small_job(12);
    const auto space = enumerate(job, 10'000, {place});
    ASSERT_TRUE(space.ok());
    const auto any = plan_of(job, model, 10'000, place, space->placements.front(), 1);
    const auto gradients = gradient_order(model, any);
    auto bounds = Bounds::make(model, any, kAll, costs);
    ASSERT_TRUE(bounds.ok());
    for (const auto& placement : space->placements) {
      for (const auto micro : placement.micro_batches) {
        const auto plan = plan_of(job, model, 10'000, place, placement, micro);
        const auto step = bounds->step(plan);
        const auto memory = bounds->memory(plan);
        ASSERT_TRUE(memory.ok());
        EXPECT_GT(step.value(), 0);
        std::int64_t evaluated = 0;
        LoweredPlans kept(model);
        const auto all = choose_sync(
            kept, {{{plan, *gradients}}, kAll}, costs, Seconds(0), [] { return false; }, evaluated);
        ASSERT_TRUE(all.ok());
        for (const auto& one : *all) EXPECT_LE(step.value(), one.step.value() * (1 + 1e-9));
        for (const auto* one : {&all->front(), &all->back()}) {
          const auto predicted = predict(model, one->plan, costs);
          EXPECT_LE(*memory, predicted->prediction.memory.total());
        }
      }
    }
  }
}

TEST(Bounds, TheFewestReadersThatKeepUp) {
  const auto model = perceptron({12, 16, 8, 4});
  TableCosts costs;
  costs.op_seconds = [](const OpSignature& op) { return 1e-5 + op_work(op).flops.value() / 1e9; };
  costs.input_seconds = 1e-4;
  auto place = candidate("a", 1, 1);
  const auto job = small_job(32);
  const auto space = enumerate(job, 10'000, {place});
  Plan plan = plan_of(job, model, 10'000, place, space->placements.front(), 32);
  auto bounds = Bounds::make(model, plan, kAll, costs);
  ASSERT_TRUE(bounds.ok());
  const int readers = bounds->readers(plan);
  ASSERT_GT(readers, 1);
  ASSERT_LT(readers, Bounds::kMostReaders);
  plan.data.readers = Bounds::kMostReaders;
  const Seconds hidden = bounds->step(plan);
  plan.data.readers = readers;
  EXPECT_EQ(bounds->step(plan), hidden) << "reading is off the critical path";
  plan.data.readers = readers - 1;
  EXPECT_GT(bounds->step(plan), hidden) << "and with one reader fewer it is not";
  plan.data.readers = 1;
  plan.cluster.instance.node.cores = 2;
  EXPECT_EQ(bounds->readers(plan), 2) << "more than processors do not help";
  plan.data.queue = 0;
  EXPECT_EQ(bounds->readers(plan), 1) << "reading and the step take turns";
}

TEST(Bounds, AreTightOnOneRank) {
  const auto model = perceptron({12, 16, 8, 4});
  const auto costs = random_costs(5, 1e-4, 1);
  const auto place = candidate("a", 1, 1);
  const auto job = small_job(8);
  const auto space = enumerate(job, 10'000, {place});
  const auto plan = plan_of(job, model, 10'000, place, space->placements.front(), 8);
  auto bounds = Bounds::make(model, plan, kAll, costs);
  const auto predicted = predict(model, plan, costs);
  EXPECT_NEAR(bounds->step(plan).value(), predicted->prediction.step_time.p50.value(), 1e-12);
  EXPECT_NEAR(static_cast<double>(bounds->memory(plan)->value()),
              static_cast<double>(predicted->prediction.memory.total().value()), 1024);
}

TEST(Bounds, AreTighterWhenLessIsAllowed) {
  const auto model = perceptron({12, 16, 8, 4});
  const auto costs = random_costs(5, 1e-4, 1);
  const auto place = candidate("a", 4, 1);
  Placement placement;
  placement.ranks = 4;
  placement.global_batch = 16;
  const auto plan = plan_of(small_job(16), model, 10'000, place, placement, 4);
  auto all = Bounds::make(model, plan, kAll, costs);
  auto plain = Bounds::make(model, plan, {SyncMethod::kAllReduce}, costs);
  EXPECT_LT(all->step(plan), plain->step(plan));
}

TEST(Bounds, AnAlonePlanIsLawful) {
  const auto model = perceptron({4, 4, 2});
  Placement placement;
  placement.ranks = 4;
  placement.global_batch = 16;
  const auto plan = plan_of(small_job(16), model, 10'000, candidate("a", 4, 1), placement, 4);
  EXPECT_TRUE(validate(alone(plan, 2, 3)).ok());
  EXPECT_EQ(alone(plan, 2, 3).global_batch, 6);
}

}  // namespace
}  // namespace pluto
