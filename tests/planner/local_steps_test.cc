#include "planner/local_steps.h"

#include <gtest/gtest.h>

#include "costmodel/predictor.h"
#include "planner/planner.h"
#include "planner/space.h"
#include "tests/support/planner_cases.h"

namespace pluto {
namespace {

using testing::candidate;
using testing::perceptron;
using testing::small_job;
using testing::TableCosts;

/// Eight ranks on links that take `exchange` seconds an exchange, beside a step of about 10 ms.
class LocalStepsTest : public ::testing::Test {
 protected:
  LocalStepsTest() : model(perceptron({32, 64, 16})), job(small_job(64)) {
    place = candidate("gpu", 8, 1.0, 8, 1e-6, 1e9);
    place.backend = "cuda";
    job.ranks = 8;
    job.minimize = Objective::kTime;
    job.allowed_sync = {SyncMethod::kAllReduce};
    costs.op_seconds = [](const OpSignature&) { return 1e-3; };
    costs.collective_seconds = [this](const CollectiveCall&, const ClusterSpec&) {
      return exchange;
    };
  }
  RankedPlan best() {
    const auto result = search(job, model, *job.data.samples, {place}, costs, {});
    EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message);
    return result->ranked.front();
  }
  ModelGraph model;
  TrainingJob job;
  Candidate place;
  TableCosts costs;
  double exchange = 0.1;
};

TEST_F(LocalStepsTest, AreChosenOnSlowLinksAndOnlyWhenAllowed) {
  const RankedPlan without = best();
  EXPECT_EQ(without.plan.local.steps, 1);
  job.local_allowed = true;
  const RankedPlan with = best();
  EXPECT_GT(with.plan.local.steps, 1);
  EXPECT_LT(with.prediction.time_to_target.p50, without.prediction.time_to_target.p50);
  EXPECT_EQ(with.plan.convergence.evidence, Evidence::kAssumed);
  const auto spread = [](const RankedPlan& one) {
    return one.prediction.time_to_target.p90 / one.prediction.time_to_target.p50;
  };
  EXPECT_GT(spread(with), spread(without)) << "what it costs in samples is not known";
  exchange = 1e-6;
  EXPECT_EQ(best().plan.local.steps, 1);
}

TEST_F(LocalStepsTest, HideEnoughAfterASynchronousBeginning) {
  exchange = 0.01;
  job.local_allowed = true;
  job.learning_rate.warmup_samples = 5000;
  const Plan plan = best().plan;
  EXPECT_EQ(plan.local.synchronous_samples, 5000);
  Plan synchronous = plan;
  synchronous.local = {};
  const auto predicted = predict(model, synchronous, costs);
  ASSERT_TRUE(predicted.ok());
  double exposed = 0;
  for (const Term& term : predicted->prediction.terms) {
    if (term.name == "exposed_comm") exposed = term.time.value();
  }
  const double rest = predicted->prediction.step_time.p50.value() - exposed;
  const int steps = plan.local.steps;
  EXPECT_LE(exposed / steps, kHiddenEnough * (rest + exposed / steps));
  EXPECT_GT(exposed / (steps / 2), kHiddenEnough * (rest + exposed / (steps / 2)));
}

TEST_F(LocalStepsTest, AreNotForOneRankNorForModelsInParts) {
  const Plan plan = best().plan;
  Prediction slow;
  slow.step_time = {Seconds(1), Seconds(1), Seconds(1)};
  slow.terms = {{"exposed_comm", Seconds(0.9), 0.1, Evidence::kMeasured}};
  const auto gradients = gradient_order(model, plan);
  ASSERT_TRUE(gradients.ok());
  EXPECT_TRUE(with_local_steps(plan, slow, *gradients));
  Plan one = plan;
  one.layout.data = 1;
  EXPECT_FALSE(with_local_steps(one, slow, *gradients));
  Plan staged = plan;
  staged.layout.pipeline = 2;
  EXPECT_FALSE(with_local_steps(staged, slow, *gradients));
  Plan split = plan;
  split.sharded = {"fc0"};
  EXPECT_FALSE(with_local_steps(split, slow, *gradients));
  slow.terms.front().time = Seconds(0.01);
  EXPECT_FALSE(with_local_steps(plan, slow, *gradients));
}

}  // namespace
}  // namespace pluto
