#include "planner/explain_closed_form.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "costmodel/uncertainty.h"
#include "tests/support/table_costs.h"

namespace pluto {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

ClosedFormChoice choice() {
  ClosedFormChoice one;
  one.instance = "test";
  one.job.least_samples = 1e6;
  one.job.critical_batch = 1e18;
  one.job.per_sample = Seconds(0.01);
  one.job.overhead = [](int) { return Seconds(0.001); };
  one.plan = {8, 512, Seconds(1252), Dollars(4)};
  return one;
}

RankedPlan near() {
  RankedPlan ranked;
  ranked.plan.cluster = testing::test_cluster(8, 1);
  ranked.plan.cluster.instance.name = "test";
  ranked.plan.cluster.instance.node.device.memory = Bytes(1000);
  ranked.plan.layout.data = 8;
  ranked.plan.global_batch = 512;
  ranked.prediction.step_time = lognormal_interval(Seconds(0.65), 0.1);
  ranked.prediction.time_to_target = lognormal_interval(Seconds(1270), 0.1);
  ranked.prediction.price = lognormal_interval(Dollars(4.1), 0.1);
  ranked.prediction.terms = {{"compute", Seconds(0.65), 0.1, Evidence::kDatasheet}};
  return ranked;
}

TEST(ExplainClosedFormTest, WhatIsNearIsComparedAndLeftAtThat) {
  const auto said = closed_form_sentences(choice(), near());
  ASSERT_THAT(said, SizeIs(1));
  EXPECT_EQ(said[0],
            "closed form: 8 devices of test with global batch 512, 20m52s and $4.00; the plan "
            "has 8, 512, 21m10s and $4.10");
}

TEST(ExplainClosedFormTest, WhatIsFarSaysWhatTheClosedFormDoesNotKnow) {
  RankedPlan ranked = near();
  ranked.plan.layout.data = 4;
  ranked.plan.global_batch = 256;
  ranked.prediction.terms = {{"compute", Seconds(0.45), 0.1, Evidence::kDatasheet},
                             {"exposed_comm", Seconds(0.2), 0.1, Evidence::kDatasheet}};
  ranked.prediction.memory.activations = Bytes(950);
  ranked.prediction.run_terms = {{"training", Seconds(900), Dollars(3), 0.1, Evidence::kAssumed},
                                 {"start_up", Seconds(370), Dollars(1), 0.1, Evidence::kAssumed}};
  const auto said = closed_form_sentences(choice(), ranked);
  ASSERT_THAT(said, SizeIs(2));
  EXPECT_THAT(said[1], HasSubstr("communication is 31 % of the step"));
  EXPECT_THAT(said[1], HasSubstr("memory is 95 % full"));
  EXPECT_THAT(said[1], HasSubstr("start-up 6m10s and $1.00"));
  EXPECT_THAT(said[1], HasSubstr("in the closed form batch 256 takes "));
  EXPECT_THAT(said[1], HasSubstr("by the closed form its own devices and batch take 41m44s"));
  ranked.plan.cluster.instance.name = "other";
  EXPECT_THAT(closed_form_sentences(choice(), ranked)[1], HasSubstr("it is on other"));
  EXPECT_THAT(closed_form_sentences(choice(), ranked)[1], Not(HasSubstr("its own devices")));
}

}  // namespace
}  // namespace pluto
